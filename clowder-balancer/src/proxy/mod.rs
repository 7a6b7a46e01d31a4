//! A valid request's way to a worker and its answer's way back.

mod attempt;
mod body;
mod events;
pub(crate) mod headers;
pub(crate) mod progress;

pub(crate) use attempt::client;

use crate::admission::{Permit, Place};
use crate::config::{Limits, Timeouts};
use crate::error::ApiError;
use crate::metrics::{Outcome, Record};
use crate::request::ValidRequest;
use crate::routing::{Lease, Router};
use attempt::{Answer, Failure};
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use body::{AnswerBody, Held};
use clowder_core::chain;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::time::Instant;

/// Sends requests to workers.
pub(crate) struct Proxy {
    pub(crate) client: reqwest::Client,
    pub(crate) router: Router,
    pub(crate) limits: Limits,
    pub(crate) timeouts: Timeouts,
}

impl Proxy {
    /// Has a worker answer, and another one as long as the client has seen no byte.
    ///
    /// A worker that cannot be connected to costs nothing but time; one that breaks off costs one of the request's
    /// attempts, since the request itself may be what breaks it.
    pub(crate) async fn forward(
        &self,
        request: &ValidRequest,
        client_headers: &HeaderMap,
        place: Place,
        mut record: Record,
    ) -> Response {
        let mut waited = Duration::ZERO;
        match self.answer(request, client_headers, place, &mut waited, &mut record).await {
            Ok((answer, lease, permit)) => {
                let mut response = respond(answer, lease, permit, record);
                if !waited.is_zero() {
                    let waited = u64::try_from(waited.as_micros().div_ceil(1000)).unwrap_or(u64::MAX);
                    response.headers_mut().insert(headers::WAITED, waited.into());
                }
                response
            }
            Err(error) => {
                record.outcome(Outcome::Answered(error.status.as_u16()));
                error.into_response()
            }
        }
    }

    async fn answer(
        &self,
        request: &ValidRequest,
        client_headers: &HeaderMap,
        place: Place,
        waited: &mut Duration,
        record: &mut Record,
    ) -> Result<(Answer, Lease, Permit), ApiError> {
        let mut deadline = Instant::now() + self.timeouts.worker_wait;
        let mut lease = timed(self.router.lease(&request.model, &request.prompt, deadline), waited).await?;
        let permit = timed(place.admit(deadline), waited).await?;
        let mut attempts = 0;
        loop {
            record.of_group(lease.group);
            let endpoint = &lease.load.endpoint;
            let failure = match attempt::send(&self.client, endpoint, request, client_headers).await {
                Ok(answer) => {
                    endpoint.answered();
                    return Ok((answer, lease, permit));
                }
                Err(failure) => failure,
            };
            let cause = failure.cause();
            let worker = endpoint.id.clone();
            tracing::info!(%worker, model = %request.model, cause, "the worker did not answer");
            if !matches!(failure, Failure::Unconnected) {
                attempts += 1;
                deadline = Instant::now() + self.timeouts.worker_wait;
            }
            match failure {
                Failure::Silent => {
                    let limit = self.timeouts.idle.as_secs();
                    let message = format!("Worker {worker} was silent for {limit} s.");
                    return Err(ApiError::worker_timeout(message));
                }
                Failure::Unavailable(answer) if attempts >= self.limits.attempts => {
                    return Ok((*answer, lease, permit));
                }
                Failure::Broken(error) if attempts >= self.limits.attempts => {
                    let message = format!(
                        "{attempts} attempts to have this answered broke off, the last one on worker {worker} ({}): see \
                         the worker's log.",
                        chain(&error.without_url())
                    );
                    return Err(ApiError::bad_gateway(message));
                }
                _ => endpoint.failed(self.timeouts.backoff),
            }
            record.retry(cause);
            drop(lease);
            lease = timed(self.router.lease(&request.model, &request.prompt, deadline), waited).await?;
        }
    }
}

/// Adds the time that a future takes which is not ready at once.
async fn timed<T>(future: impl Future<Output = T>, waited: &mut Duration) -> T {
    let mut future = pin!(future);
    if let Poll::Ready(done) = futures::poll!(future.as_mut()) {
        return done;
    }
    let since = Instant::now();
    let done = future.await;
    *waited += since.elapsed();
    done
}

fn respond(answer: Answer, lease: Lease, permit: Permit, mut record: Record) -> Response {
    record.first_byte();
    let mut response = Response::new(Body::empty());
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    *headers = headers::to_client(&answer.headers);
    if let Ok(worker) = HeaderValue::from_str(lease.load.endpoint.id.as_str()) {
        headers.insert(headers::WORKER, worker);
    }
    if let Ok(why) = HeaderValue::from_str(&lease.why) {
        headers.insert(headers::POLICY, why);
    }
    if answer.status == StatusCode::SERVICE_UNAVAILABLE {
        headers.entry(axum::http::header::RETRY_AFTER).or_insert(HeaderValue::from_static("1"));
    }
    *response.body_mut() = if answer.is_whole {
        record.outcome(Outcome::Answered(answer.status.as_u16()));
        Body::from(answer.first)
    } else {
        let is_event_stream = answer.is_event_stream();
        let held = Held { upstream: answer.rest, status: answer.status, lease, record, _permit: permit };
        Body::from_stream(AnswerBody::new(answer.first, is_event_stream, held))
    };
    response
}
