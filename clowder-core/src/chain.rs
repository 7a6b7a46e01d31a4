//! An error and its causes in one line, for logs and status.

use std::error::Error;

/// `error: cause: cause of the cause`. A cause that its error's own text already ends with is not repeated.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    causes.fold(error.to_string(), |line, cause| {
        let cause = cause.to_string();
        if line.ends_with(&cause) { line } else { format!("{line}: {cause}") }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Link(&'static str, #[source] Option<Box<Link>>);

    #[test]
    fn causes_follow_once() {
        let cause = Link("connection refused", None);
        let error = Link("m.gguf cannot be reached", Some(Box::new(cause)));
        assert_eq!(chain(&error), "m.gguf cannot be reached: connection refused");
        let repeated = Link("failed: timed out", Some(Box::new(Link("timed out", None))));
        assert_eq!(chain(&repeated), "failed: timed out");
    }
}
