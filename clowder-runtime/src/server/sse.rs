//! Server-sent events, as OpenAI frames them.

use super::error::{ErrorBody, ErrorEnvelope};
use super::generation::{Generation, Indexed};
use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use bytes::{BufMut, Bytes, BytesMut};
use futures::stream;
use serde::Serialize;
use std::convert::Infallible;

/// Writes the events of one answer.
pub(crate) trait EventWriter: Send + 'static {
    /// Appends what an event of the engine becomes; nothing where it becomes nothing. An error ends the answer.
    fn write(&mut self, event: Indexed, frames: &mut Frames) -> Result<(), ErrorBody>;

    /// Appends what comes after all alternatives have ended.
    fn finish(&mut self, frames: &mut Frames);
}

/// Events on their way out.
#[derive(Default)]
pub(crate) struct Frames(BytesMut);

impl Frames {
    /// Appends an object.
    pub(crate) fn push(&mut self, object: &impl Serialize) {
        self.0.put_slice(b"data: ");
        let start = self.0.len();
        if let Err(error) = serde_json::to_writer((&mut self.0).writer(), object) {
            // Nothing that is sent has a key or number that JSON lacks.
            tracing::error!(%error, "an answer is no JSON");
            self.0.truncate(start);
            self.0.put_slice(b"{}");
        }
        self.0.put_slice(b"\n\n");
    }

    fn done(&mut self) {
        self.0.put_slice(b"data: [DONE]\n\n");
    }
}

struct Stream<W> {
    generation: Generation,
    writer: W,
    frames: Frames,
    ended: bool,
}

impl<W: EventWriter> Stream<W> {
    async fn next(&mut self) -> Option<Bytes> {
        while !self.ended && self.frames.0.is_empty() {
            match self.generation.next().await {
                Some(event) => {
                    if let Err(error) = self.writer.write(event, &mut self.frames) {
                        self.frames.push(&ErrorEnvelope { error: &error });
                        self.ended = true;
                    }
                }
                None => {
                    self.writer.finish(&mut self.frames);
                    self.frames.done();
                    self.ended = true;
                }
            }
        }
        let bytes = self.frames.0.split().freeze();
        (!bytes.is_empty()).then_some(bytes)
    }
}

/// The answer whose body is a generation's events. Dropping the body gives the generation up.
pub(crate) fn respond(generation: Generation, writer: impl EventWriter) -> Response {
    let stream = Stream { generation, writer, frames: Frames::default(), ended: false };
    let body = stream::unfold(stream, |mut stream| async move {
        let bytes = stream.next().await?;
        Some((Ok::<_, Infallible>(bytes), stream))
    });
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Proxies of nginx's kind hold events back without it.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}
