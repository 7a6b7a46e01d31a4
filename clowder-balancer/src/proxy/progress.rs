//! What a streaming client is told while its request waits, if it asked to be.
//!
//! An answer that has begun has a status, and a failure can no longer have its own: so nobody gets this who did not ask for
//! it, and nobody before a while has passed in which most answers, and most refusals, are there.

use super::headers;
use crate::request::ValidRequest;
use axum::body::{Body, BodyDataStream};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use std::time::Duration;
use tokio::time::timeout;

/// The most of an answer that is no event stream which is passed on as an event.
const LONGEST_REFUSAL: usize = 64 << 10;

/// Whether a client asks to be told what its request waits for: by `x-clowder-progress: sse`, of a stream.
pub(crate) fn is_wanted(client_headers: &HeaderMap, request: &ValidRequest) -> bool {
    let asked =
        client_headers.get(headers::PROGRESS).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"sse"));
    asked && request.is_streamed
}

/// The answer, if it is there within `pause`; otherwise a stream that says `waits_for` now, again after each `pause`, and
/// goes on with the answer. Dropping it drops the request.
pub(crate) async fn told(
    answer: impl Future<Output = Response> + Send + 'static,
    waits_for: impl Fn() -> String + Send + 'static,
    pause: Duration,
) -> Response {
    let mut answer = answer.boxed();
    if let Ok(answer) = timeout(pause, &mut answer).await {
        return answer;
    }
    let begun = Telling { state: State::Waiting { answer, is_first: true }, waits_for: Box::new(waits_for), pause };
    let body = stream::unfold(begun, |mut telling| async move { Some((telling.next().await?, telling)) });
    let mut response = Response::new(Body::from_stream(body));
    let kind = HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

struct Telling {
    state: State,
    waits_for: Box<dyn Fn() -> String + Send>,
    pause: Duration,
}

enum State {
    Waiting { answer: BoxFuture<'static, Response>, is_first: bool },
    Answering(BodyDataStream),
    Done,
}

impl Telling {
    async fn next(&mut self) -> Option<Result<Bytes, axum::Error>> {
        let answer = match &mut self.state {
            State::Waiting { is_first, answer } => match std::mem::take(is_first) {
                true => None,
                false => timeout(self.pause, answer).await.ok(),
            },
            State::Answering(body) => return body.next().await,
            State::Done => return None,
        };
        let Some(answer) = answer else { return Some(Ok(self.comment())) };
        let is_stream = answer
            .headers()
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().to_ascii_lowercase().starts_with(b"text/event-stream"));
        let mut body = answer.into_body().into_data_stream();
        if is_stream {
            let first = body.next().await;
            self.state = State::Answering(body);
            return first;
        }
        self.state = State::Done;
        Some(Ok(as_event(body).await))
    }

    fn comment(&self) -> Bytes {
        // What a comment says must not end it.
        let text = (self.waits_for)().replace(['\r', '\n'], " ");
        Bytes::from(format!(": {text}\n\n"))
    }
}

/// A refusal as the stream's last event, in one line.
async fn as_event(mut body: BodyDataStream) -> Bytes {
    let mut text = BytesMut::new();
    while let Some(Ok(chunk)) = body.next().await {
        if text.len() + chunk.len() > LONGEST_REFUSAL {
            break;
        }
        text.extend_from_slice(&chunk);
    }
    let text = String::from_utf8_lossy(&text).replace(['\r', '\n'], " ");
    Bytes::from(format!("data: {text}\n\n"))
}
