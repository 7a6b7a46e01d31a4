//! One call that is answered with server-sent events, for as long as there are any.

use bytes::Bytes;
use clowder_core::{BoxError, Secret};
use http::header::{ACCEPT, AUTHORIZATION};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::time::Duration;
use tokio::time::timeout;

/// Until a connection stands.
const CONNECT: Duration = Duration::from_secs(5);
/// Whoever is silent for so long is not there any more; those that are say something every 15 seconds.
const SILENCE: Duration = Duration::from_secs(60);
/// The longest line, in bytes.
const LONGEST_LINE: usize = 4 << 20;

/// A client that goes straight to the Pods.
pub(super) type Http = legacy::Client<HttpConnector, Empty<Bytes>>;

/// Why nothing more is heard.
#[derive(Debug, thiserror::Error)]
pub(super) enum HearError {
    #[error("the call cannot be made")]
    Call(#[from] http::Error),
    #[error("it does not answer")]
    Unreachable(#[from] legacy::Error),
    #[error("it answered {0}")]
    Refused(StatusCode),
    #[error("it broke off")]
    Broken(#[source] BoxError),
    #[error("it has been silent for {SILENCE:?}")]
    Silent,
    #[error("it wrote a line of more than {LONGEST_LINE} bytes")]
    TooLong,
}

pub(super) fn client() -> Http {
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(CONNECT));
    connector.set_nodelay(true);
    // A connection serves one call, and nobody asks again on it.
    legacy::Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector)
}

/// Gives the data of each event to `each` until the answer ends.
pub(super) async fn hear(
    http: &Http,
    url: &str,
    token: Option<&Secret>,
    mut each: impl FnMut(&[u8]),
) -> Result<(), HearError> {
    let mut request = Request::get(url).header(ACCEPT, "text/event-stream");
    if let Some(token) = token {
        let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose())).map_err(http::Error::from)?;
        value.set_sensitive(true);
        request = request.header(AUTHORIZATION, value);
    }
    let request = request.body(Empty::new())?;
    let answer = timeout(SILENCE, http.request(request)).await.map_err(|_| HearError::Silent)??;
    if answer.status() != StatusCode::OK {
        return Err(HearError::Refused(answer.status()));
    }
    let mut body = answer.into_body();
    let mut lines = Lines::default();
    while let Some(frame) = timeout(SILENCE, body.frame()).await.map_err(|_| HearError::Silent)? {
        let frame = frame.map_err(|error| HearError::Broken(error.into()))?;
        if let Some(bytes) = frame.data_ref() {
            lines.take(bytes, |line| {
                if let Some(data) = line.strip_prefix(b"data:") {
                    each(data);
                }
            })?;
        }
    }
    Ok(())
}

/// Bytes, cut into lines.
#[derive(Default)]
struct Lines(Vec<u8>);

impl Lines {
    fn take(&mut self, mut bytes: &[u8], mut each: impl FnMut(&[u8])) -> Result<(), HearError> {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.add(&bytes[..end])?;
            each(&self.0);
            self.0.clear();
            bytes = &bytes[end + 1..];
        }
        self.add(bytes)
    }

    fn add(&mut self, bytes: &[u8]) -> Result<(), HearError> {
        if self.0.len() + bytes.len() > LONGEST_LINE {
            return Err(HearError::TooLong);
        }
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_however_they_come() {
        let text = b": keep-alive\n\nevent: demand\ndata: {}\n\n";
        for size in [1, 3, text.len()] {
            let (mut lines, mut seen) = (Lines::default(), Vec::new());
            for part in text.chunks(size) {
                lines.take(part, |line| seen.push(String::from_utf8(line.to_vec()).unwrap())).unwrap();
            }
            assert_eq!(seen, [": keep-alive", "", "event: demand", "data: {}", ""]);
        }
    }

    #[test]
    fn a_line_without_end_is_given_up_on() {
        let mut lines = Lines::default();
        let part = vec![b'x'; 1 << 20];
        let taken = (0..10).take_while(|_| lines.take(&part, |_| ()).is_ok()).count();
        assert_eq!(taken, LONGEST_LINE >> 20);
    }
}
