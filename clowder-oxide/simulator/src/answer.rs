//! What a request is answered with.

use crate::refusal::Refusal;
use http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use std::time::Duration;

/// An answer before it is bytes.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Option<Value>,
    /// After how long to ask again.
    pub(crate) retry_after: Option<Duration>,
}

impl Answer {
    /// Here it is.
    pub(crate) fn ok(view: &impl Serialize) -> Result<Self, Refusal> {
        Self::with(StatusCode::OK, view)
    }

    /// It is made.
    pub(crate) fn created(view: &impl Serialize) -> Result<Self, Refusal> {
        Self::with(StatusCode::CREATED, view)
    }

    /// It will be so.
    pub(crate) fn accepted(view: &impl Serialize) -> Result<Self, Refusal> {
        Self::with(StatusCode::ACCEPTED, view)
    }

    /// Done, and nothing to show.
    pub(crate) fn done() -> Result<Self, Refusal> {
        Ok(Self { status: StatusCode::NO_CONTENT, body: None, retry_after: None })
    }

    fn with(status: StatusCode, view: &impl Serialize) -> Result<Self, Refusal> {
        let body = serde_json::to_value(view).map_err(|_| Refusal::Internal)?;
        Ok(Self { status, body: Some(body), retry_after: None })
    }
}
