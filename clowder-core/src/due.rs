//! Waiting for what may be due.

use tokio::time::{Instant, sleep_until};

/// Returns at this time; never where there is none. To be one of several things that are waited for.
pub async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn what_is_due_comes_and_what_is_not_never_does() {
        until(Some(Instant::now())).await;
        until(Some(Instant::now() + Duration::from_secs(1))).await;
        assert!(until(None).now_or_never().is_none());
    }
}
