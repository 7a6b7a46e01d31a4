//! The storage manager's REST API, as the original's clients know it.
//!
//! | call | answer |
//! |---|---|
//! | `GET /content/` | 200, all models |
//! | `GET /content/BASE64URL` | 200 whole, 206 not yet whole, 404 absent |
//! | `POST /content/` `{"url", "credentials"?, "credentialsType"?, "digest"?}` | 201 `{"url", "digest"}` once it is whole |
//! | `DELETE /content/BASE64URL` | 204, 409 while in use or pinned |
//! | `GET /pins` | 200 `{"pinned": [URL]}`: what stays, whatever else needs the room |
//! | `PUT /pins` `{"pinned": [URL]}` | 204: these and no others stay once they are whole |
//! | `GET /events` | server-sent events `stock`: `{"complete": [URL], "incomplete": {URL: {"bytes", "total", "rate"}}, "pinned"?: [URL]}` |
//! | `GET /health` | 200 `ok` |
//! | `GET /metrics` | Prometheus text |
//!
//! The URL is in base64 of either alphabet, padded or not. Errors are `{"error":{"message","code"}}`. A `POST` whose client
//! goes away stops its fetch, unless another waits for it; asked again, it goes on from there. Events come now, after every
//! change, and every second while something is fetched.

mod auth;
mod content;
mod error;
mod events;
mod metrics;
mod pins;
pub mod server;

use crate::cache::Cache;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use clowder_core::secret::Secret;

/// The longest body of a request but one, in bytes.
const LONGEST_BODY: usize = 64 << 10;

/// The API of a cache. With a token, all calls but `/health` must bear it.
pub fn router(cache: Cache, token: Option<Secret>) -> Router {
    let content = get(content::list).post(content::fetch);
    Router::new()
        .route("/content", content.clone())
        .route("/content/", content)
        // Base64 of the standard alphabet has slashes.
        .route("/content/{*url}", get(content::find).delete(content::remove))
        .route("/pins", get(pins::get).put(pins::put).layer(DefaultBodyLimit::max(pins::LONGEST_BODY)))
        .route("/events", get(events::events))
        .route("/metrics", get(metrics::metrics))
        .layer(from_fn_with_state(auth::Guard::new(token), auth::guard))
        .route("/health", get(|| async { "ok\n" }))
        .fallback(error::no_such_call)
        .method_not_allowed_fallback(error::no_such_method)
        .layer(DefaultBodyLimit::max(LONGEST_BODY))
        .with_state(cache)
}
