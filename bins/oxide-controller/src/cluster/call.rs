//! Calls of the API server, each with a time limit, and what their failures mean.

use clowder_core::chain;
use kube::Api;
use kube::api::ListParams;
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::time::Duration;

/// How long a call may take. An API server that is there answers in milliseconds, one that starts in seconds.
const PATIENCE: Duration = Duration::from_secs(15);

/// How many things are listed by one call.
const PAGE: u32 = 500;

/// Why a call of the API server gave nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// Nobody knows yet where it is.
    #[error("the address of the API server is not known yet")]
    NotYet,
    /// It answered, and said no.
    #[error("{}", said(.0))]
    Answered(Box<kube::core::Status>),
    /// It did not answer in time.
    #[error("the API server did not answer within {PATIENCE:?}")]
    TimedOut,
    /// It could not be asked, or its answer could not be read.
    #[error("the API server cannot be asked: {}", chain(.0))]
    Unasked(kube::Error),
}

fn said(status: &kube::core::Status) -> String {
    match (status.message.as_str(), status.reason.as_str()) {
        ("", "") => format!("the API server answered {}", status.code),
        ("", reason) => format!("the API server answered {} ({reason})", status.code),
        (message, _) => message.to_owned(),
    }
}

impl From<kube::Error> for CallError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::Answered(status),
            other => Self::Unasked(other),
        }
    }
}

impl CallError {
    fn code(&self) -> Option<u16> {
        match self {
            Self::Answered(status) => Some(status.code),
            _ => None,
        }
    }

    /// There is no such thing.
    pub(crate) fn is_absent(&self) -> bool {
        self.code() == Some(404)
    }

    /// It is there already, or was changed meanwhile.
    pub(crate) fn is_conflict(&self) -> bool {
        self.code() == Some(409)
    }

    /// Not now: a disruption budget has no room, or the server is busy.
    pub(crate) fn is_later(&self) -> bool {
        self.code() == Some(429)
    }
}

impl CallError {
    /// Whether the same call may succeed soon.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::TimedOut | Self::Unasked(_) => true,
            Self::Answered(status) => status.code == 429 || status.code >= 500,
            Self::NotYet => false,
        }
    }
}

/// The outcome of a call, or that it took too long.
pub(crate) async fn call<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T, CallError> {
    match tokio::time::timeout(PATIENCE, call).await {
        Ok(outcome) => Ok(outcome?),
        Err(_) => Err(CallError::TimedOut),
    }
}

/// `None` where there is no such thing.
pub(crate) fn if_there<T>(outcome: Result<T, CallError>) -> Result<Option<T>, CallError> {
    match outcome {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_absent() => Ok(None),
        Err(error) => Err(error),
    }
}

/// All that a list has, page by page.
pub(crate) async fn list_all<K>(api: &Api<K>, mut params: ListParams) -> Result<Vec<K>, CallError>
where
    K: Clone + DeserializeOwned + Debug,
{
    params.limit = Some(PAGE);
    let mut all = Vec::new();
    loop {
        let page = call(api.list(&params)).await?;
        all.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params.continue_token = Some(token),
            None => return Ok(all),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(code: u16, reason: &str, message: &str) -> CallError {
        let status = kube::core::Status { code, ..kube::core::Status::failure(message, reason) };
        kube::Error::Api(Box::new(status)).into()
    }

    #[test]
    fn an_answer_is_told_in_the_servers_words_and_means_something() {
        assert_eq!(answered(404, "NotFound", "nodes \"m\" not found").to_string(), "nodes \"m\" not found");
        assert_eq!(answered(500, "", "").to_string(), "the API server answered 500");
        assert!(answered(429, "TooManyRequests", "").is_later());
        assert!(answered(409, "AlreadyExists", "").is_conflict());
        assert!(if_there::<()>(Err(answered(404, "NotFound", ""))).unwrap().is_none());
        assert!(if_there::<()>(Err(answered(403, "Forbidden", ""))).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_does_not_answer_is_given_up_on() {
        let error = call::<()>(std::future::pending()).await.unwrap_err();
        assert!(matches!(error, CallError::TimedOut), "{error}");
    }
}
