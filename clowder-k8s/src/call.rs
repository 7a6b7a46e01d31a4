//! Calls of the API server, each with a time limit, and what their failures mean.

use clowder_core::desired::DesiredError;
use clowder_core::{BackendError, WorkerId, chain};
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
#[non_exhaustive]
pub enum CallError {
    /// It is not asked: of a cluster that is still being made, nobody knows where it is.
    #[error("the address of the API server is not known yet")]
    NotYet,
    /// The API server answered, and said no.
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

/// The outcome of a call, or that it took too long.
///
/// # Errors
/// [`CallError`].
pub async fn call<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T, CallError> {
    match tokio::time::timeout(PATIENCE, call).await {
        Ok(outcome) => Ok(outcome?),
        Err(_) => Err(CallError::TimedOut),
    }
}

/// `None` where there is no such thing.
///
/// # Errors
/// Any other [`CallError`].
pub fn if_there<T>(outcome: Result<T, CallError>) -> Result<Option<T>, CallError> {
    match outcome {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_absent() => Ok(None),
        Err(error) => Err(error),
    }
}

/// All that a list has, page by page.
///
/// # Errors
/// [`CallError`], of the first page that is not to be had.
pub async fn list_all<K>(api: &Api<K>, mut params: ListParams) -> Result<Vec<K>, CallError>
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

impl CallError {
    /// The HTTP status of the answer.
    pub(crate) fn code(&self) -> Option<u16> {
        match self {
            Self::Answered(status) => Some(status.code),
            _ => None,
        }
    }

    /// There is no such resource.
    pub fn is_absent(&self) -> bool {
        self.code() == Some(404)
    }

    /// The resource is not what the caller took it for, or there already.
    pub fn is_conflict(&self) -> bool {
        self.code() == Some(409)
    }

    /// Not now: a disruption budget has no room, or the server is busy.
    pub fn is_later(&self) -> bool {
        self.code() == Some(429)
    }

    /// Whether the same call may succeed soon.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::TimedOut | Self::Unasked(_) => true,
            Self::Answered(status) => status.code == 429 || status.code >= 500,
            Self::NotYet => false,
        }
    }

    /// Asking the same again will be answered the same: the request itself, or the caller, is refused.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self.code(), Some(400 | 403 | 422))
    }

    /// As a backend's error: a refused action, or a backend that is out of reach.
    pub(crate) fn about_worker(self, worker: &WorkerId, what: &str) -> BackendError {
        if self.is_refusal() {
            return BackendError::Refused { worker: worker.clone(), reason: self.to_string() };
        }
        BackendError::Unreachable { what: format!("{what} of worker {worker}"), source: self.into() }
    }

    /// As a desired store's error: a change that is refused, or a store that is out of reach.
    pub(crate) fn about_record(self, what: impl Into<String>) -> DesiredError {
        if matches!(self.code(), Some(400 | 422)) {
            return DesiredError::Rejected(self.into());
        }
        DesiredError::Unreachable { what: what.into(), source: self.into() }
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
    fn an_answer_is_told_in_the_servers_words() {
        assert_eq!(answered(404, "NotFound", "pods \"m\" not found").to_string(), "pods \"m\" not found");
        assert_eq!(answered(404, "NotFound", "nodes \"m\" not found").to_string(), "nodes \"m\" not found");
        assert_eq!(answered(500, "", "").to_string(), "the API server answered 500");
        assert_eq!(answered(429, "TooManyRequests", "").to_string(), "the API server answered 429 (TooManyRequests)");
    }

    #[test]
    fn what_an_answer_means() {
        assert!(answered(429, "TooManyRequests", "").is_later());
        assert!(answered(409, "AlreadyExists", "").is_conflict());
        assert!(if_there::<()>(Err(answered(404, "NotFound", ""))).unwrap().is_none());
        assert!(if_there::<()>(Err(answered(403, "Forbidden", ""))).is_err());
    }

    #[test]
    fn a_refusal_is_the_actions_and_a_failure_the_backends() {
        let worker: WorkerId = "m-0-0".parse().unwrap();
        for code in [400, 403, 422] {
            let error = answered(code, "", "no").about_worker(&worker, "creation");
            assert_eq!(error.to_string(), "worker m-0-0 is refused: no");
        }
        for code in [401, 409, 429, 500] {
            let error = answered(code, "", "no").about_worker(&worker, "creation");
            assert_eq!(chain(&error), "the backend creation of worker m-0-0 failed: no");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_does_not_answer_is_given_up_on() {
        let error = call::<()>(std::future::pending()).await.unwrap_err();
        assert!(matches!(error, CallError::TimedOut), "{error}");
    }
}
