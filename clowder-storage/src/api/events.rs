//! `GET /events`: what is here, as it changes.

use super::server::Stopping;
use crate::cache::Cache;
use axum::Extension;
use axum::extract::State;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures::{Stream, StreamExt};
use std::convert::Infallible;
use std::time::Duration;

/// How often something is said where there is nothing to say, so that both ends know of each other.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Events `stock`, each the whole stock in one line, now and after each change, until the server stops.
pub(super) async fn events(
    State(cache): State<Cache>,
    stopping: Option<Extension<Stopping>>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let stocks =
        cache.watch().filter_map(async |stock| Event::default().event("stock").json_data(&*stock).ok().map(Ok));
    let stopped = async move {
        match stopping {
            Some(Extension(stopping)) => stopping.0.cancelled_owned().await,
            None => std::future::pending().await,
        }
    };
    Sse::new(stocks.take_until(stopped)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}
