//! Which headers cross the gateway.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

/// The name a request goes by in logs on all sides.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The worker that answered.
pub(crate) const WORKER: HeaderName = HeaderName::from_static("x-clowder-worker");
/// Why that one.
pub(crate) const POLICY: HeaderName = HeaderName::from_static("x-clowder-policy");

/// The model that a request was routed to: its worker takes the name in the body for that model's, and gives it back in the
/// answer. So a body passes as it came, under whichever name of its model it asks.
pub(crate) const MODEL: HeaderName = HeaderName::from_static("x-clowder-model");
/// How long the request waited for a worker, in milliseconds.
pub(crate) const WAITED: HeaderName = HeaderName::from_static("x-clowder-waited-ms");
/// By which a client asks to be told what its request waits for.
pub(crate) const PROGRESS: HeaderName = HeaderName::from_static("x-clowder-progress");

/// All that workers get of a client's headers: a list of what may pass keeps every credential out, also those that nobody
/// thought of.
const TO_WORKERS: [HeaderName; 5] = [
    header::ACCEPT,
    header::USER_AGENT,
    REQUEST_ID,
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
];

/// What belongs to the connection with the worker, or would speak for the gateway.
const NOT_TO_CLIENTS: [HeaderName; 13] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::CONTENT_LENGTH,
    header::SERVER,
    header::DATE,
    header::SET_COOKIE,
    header::ALT_SVC,
];

/// `model` is left out where the body has an adapter's name, which the worker has to know: one of an earlier revision may not
/// have it.
pub(super) fn to_worker(client: &HeaderMap, model: Option<&str>) -> HeaderMap {
    let mut headers: HeaderMap =
        TO_WORKERS.into_iter().filter_map(|name| client.get(&name).cloned().map(|value| (name, value))).collect();
    // Whatever the client called it (curl says form data), it was read as JSON.
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(model) = model.and_then(|model| HeaderValue::from_str(model).ok()) {
        headers.insert(MODEL, model);
    }
    headers
}

pub(super) fn to_client(worker: &HeaderMap) -> HeaderMap {
    let named: Vec<HeaderName> = worker
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let passes = |name: &HeaderName| {
        !NOT_TO_CLIENTS.contains(name)
            && !named.contains(name)
            && !name.as_str().starts_with("access-control-")
            && !name.as_str().starts_with("x-clowder-")
            && *name != REQUEST_ID
    };
    worker.iter().filter(|(name, _)| passes(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        list.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn credentials_stay_here() {
        let client = headers(&[
            ("authorization", "Bearer secret"),
            ("cookie", "session=1"),
            ("x-api-key", "secret"),
            ("proxy-authorization", "Basic secret"),
            ("content-type", "application/x-www-form-urlencoded"),
            ("accept", "text/event-stream"),
            ("x-request-id", "r1"),
            ("x-clowder-model", "forged"),
        ]);
        let expected = headers(&[
            ("accept", "text/event-stream"),
            ("content-type", "application/json"),
            ("x-request-id", "r1"),
            ("x-clowder-model", "org/kitten"),
        ]);
        assert_eq!(to_worker(&client, Some("org/kitten")), expected);
        assert_eq!(to_worker(&client, None).get(MODEL), None);
    }

    #[test]
    fn what_belongs_to_the_workers_connection_stays_there() {
        let worker = headers(&[
            ("connection", "close, x-hop"),
            ("x-hop", "1"),
            ("transfer-encoding", "chunked"),
            ("access-control-allow-origin", "*"),
            ("set-cookie", "a=b"),
            ("x-clowder-worker", "forged"),
            ("content-type", "application/json"),
            ("x-timing", "7"),
        ]);
        assert_eq!(to_client(&worker), headers(&[("content-type", "application/json"), ("x-timing", "7")]));
    }
}
