//! One attempt to have a worker answer, up to the first bytes of its answer.

use super::body::Upstream;
use super::headers;
use crate::config::Timeouts;
use crate::endpoint::Endpoint;
use crate::request::ValidRequest;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;

/// Answers up to this size that are no event streams are read whole before their first byte is passed on: if the worker
/// dies half-way, the request can still go to another.
const BUFFERED: usize = 4 << 20;
/// The most that is read of an answer which says that the worker is not available.
const REFUSAL_BYTES: usize = 64 << 10;

/// A worker's answer, its first bytes come.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) first: Bytes,
    /// Whether `first` is all.
    pub(super) is_whole: bool,
    pub(super) rest: Upstream,
}

impl Answer {
    pub(super) fn is_event_stream(&self) -> bool {
        is_event_stream(&self.headers)
    }
}

/// Why there is no answer.
pub(super) enum Failure {
    /// The worker could not be connected to: nothing was sent.
    Unconnected,
    /// The worker broke off before the first byte that a client would have got.
    Broken(reqwest::Error),
    /// The worker says 502 or 503: it drains, loads, or has too much to do.
    Unavailable(Box<Answer>),
    /// The worker was silent for too long.
    Silent,
}

impl Failure {
    /// For the metrics and the log.
    pub(super) fn cause(&self) -> &'static str {
        match self {
            Self::Unconnected => "unconnected",
            Self::Broken(_) => "broken",
            Self::Unavailable(_) => "unavailable",
            Self::Silent => "silent",
        }
    }
}

impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Self {
        if error.is_connect() {
            Self::Unconnected
        } else if error.is_timeout() {
            Self::Silent
        } else {
            Self::Broken(error)
        }
    }
}

/// The client for workers: pooled, straight to them whatever proxy the environment names, and following nothing.
/// `authorization` goes with every request.
pub(crate) fn client(
    timeouts: &Timeouts,
    authorization: Option<HeaderValue>,
) -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .default_headers(authorization.map(|value| (header::AUTHORIZATION, value)).into_iter().collect())
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .http1_only()
        .tcp_nodelay(true)
        .connect_timeout(timeouts.connect)
        .read_timeout(timeouts.idle)
        .pool_max_idle_per_host(64)
        .build()
}

pub(super) async fn send(
    client: &reqwest::Client,
    endpoint: &Endpoint,
    request: &ValidRequest,
    client_headers: &HeaderMap,
) -> Result<Answer, Failure> {
    let mut url = endpoint.base.clone();
    let path = format!("{}{}", url.path().trim_end_matches('/'), request.operation.path());
    url.set_path(&path);
    let headers = headers::to_worker(client_headers, (!request.is_adapter).then_some(request.model.as_str()));
    let response = client.post(url).headers(headers).body(request.body.clone()).send().await?;
    let status = response.status();
    let headers = response.headers().clone();
    let mut rest: Upstream = response.bytes_stream().boxed();
    if matches!(status, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE) {
        let (first, is_whole) = read(&mut rest, REFUSAL_BYTES).await?;
        return Err(Failure::Unavailable(Box::new(Answer { status, headers, first, is_whole, rest })));
    }
    let (first, is_whole) = if is_event_stream(&headers) {
        match rest.next().await {
            Some(first) => (first?, false),
            None => (Bytes::new(), true),
        }
    } else {
        read(&mut rest, BUFFERED).await?
    };
    Ok(Answer { status, headers, first, is_whole, rest })
}

/// Reads until the end, or until there are so many bytes; and says which.
async fn read(stream: &mut Upstream, enough: usize) -> Result<(Bytes, bool), reqwest::Error> {
    let mut bytes = BytesMut::new();
    while let Some(chunk) = stream.next().await {
        bytes.extend_from_slice(&chunk?);
        if bytes.len() >= enough {
            return Ok((bytes.freeze(), false));
        }
    }
    Ok((bytes.freeze(), true))
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.trim_start().to_ascii_lowercase().starts_with("text/event-stream")
}
