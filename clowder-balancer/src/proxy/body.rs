//! An answer on its way to the client. It owns all that the request holds, so that its end, an error and the client's
//! leaving release everything on one path: the drop.

use super::events::WholeEvents;
use crate::admission::Permit;
use crate::error::ApiError;
use crate::metrics::{Outcome, Record};
use crate::routing::Lease;
use axum::http::StatusCode;
use bytes::Bytes;
use clowder_core::{BoxStream, chain};
use futures::Stream;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// The worker's bytes.
pub(super) type Upstream = BoxStream<Result<Bytes, reqwest::Error>>;

/// What a request holds until its answer's last byte. Dropping the upstream drops the connection to the worker, which ends
/// the generation there; it goes last, so that whoever sees that finds the rest given back.
pub(super) struct Held {
    pub(super) status: StatusCode,
    pub(super) lease: Lease,
    pub(super) record: Record,
    pub(super) _permit: Permit,
    pub(super) upstream: Upstream,
}

/// The rest of an answer whose first bytes are there.
pub(super) struct AnswerBody {
    first: Option<Bytes>,
    /// For an event stream.
    events: Option<WholeEvents>,
    /// `None` after the end.
    held: Option<Held>,
}

impl AnswerBody {
    pub(super) fn new(first: Bytes, is_event_stream: bool, held: Held) -> Self {
        Self { first: Some(first), events: is_event_stream.then(WholeEvents::default), held: Some(held) }
    }

    /// The stream broke. An event stream says so in its last event; another body can only be cut off.
    fn broken(&mut self, error: reqwest::Error) -> Option<Result<Bytes, reqwest::Error>> {
        let mut held = self.held.take()?;
        held.record.outcome(Outcome::Broken);
        let worker = &held.lease.load.endpoint.id;
        tracing::warn!(%worker, error = %chain(&error), "the worker broke off in the middle of an answer");
        if self.events.is_none() {
            return Some(Err(error));
        }
        let message = format!("Worker {worker} broke off in the middle of the answer: send the request again.");
        let event = format!("data: {}\n\n", ApiError::bad_gateway(message).to_json());
        Some(Ok(Bytes::from(event)))
    }

    fn ended(&mut self) -> Option<Result<Bytes, reqwest::Error>> {
        if let Some(mut held) = self.held.take() {
            held.record.outcome(Outcome::Answered(held.status.as_u16()));
        }
        let rest = self.events.take()?.rest();
        (!rest.is_empty()).then_some(Ok(rest))
    }
}

impl Stream for AnswerBody {
    type Item = Result<Bytes, reqwest::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let chunk = match self.first.take() {
                Some(first) => first,
                None => {
                    let Some(held) = &mut self.held else { return Poll::Ready(None) };
                    match ready!(held.upstream.as_mut().poll_next(context)) {
                        Some(Ok(chunk)) => chunk,
                        Some(Err(error)) => return Poll::Ready(self.broken(error)),
                        None => return Poll::Ready(self.ended()),
                    }
                }
            };
            let passing = match &mut self.events {
                Some(events) => events.push(chunk),
                None => chunk,
            };
            if !passing.is_empty() {
                return Poll::Ready(Some(Ok(passing)));
            }
        }
    }
}
