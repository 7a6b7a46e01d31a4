//! Bodies, bounded.

use super::{senseless, unreachable};
use bytes::Bytes;
use clowder_core::BoxStream;
use clowder_core::source::SourceError;
use futures::{StreamExt, TryStreamExt, stream};
use reqwest::Response;

/// A body as a whole, of `limit` bytes at most.
pub(in crate::sources) async fn bounded(
    what: &str,
    mut response: Response,
    limit: usize,
) -> Result<Vec<u8>, SourceError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| unreachable(what, error))? {
        if body.len() + chunk.len() > limit {
            return Err(senseless(what, "its body is too long"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The part of a body after `skip` bytes, `length` bytes at most. A body that ends before `whole` bytes, where that is
/// known, broke off.
pub(super) fn window(
    what: String,
    response: Response,
    skip: u64,
    length: u64,
    whole: Option<u64>,
) -> BoxStream<Result<Bytes, SourceError>> {
    struct State {
        body: BoxStream<Result<Bytes, reqwest::Error>>,
        what: String,
        skip: u64,
        left: u64,
        expected: Option<u64>,
    }
    let expected = whole.map(|whole| whole.min(length));
    let state = State { body: response.bytes_stream().boxed(), what, skip, left: length, expected };
    let step = |mut state: State| async move {
        while state.left > 0 {
            let read = state.body.try_next().await.map_err(|error| unreachable(&state.what, error))?;
            let Some(mut chunk) = read else {
                return match state.expected {
                    Some(1..) => Err(senseless(&state.what, "it broke off before its end")),
                    _ => Ok(None),
                };
            };
            let skipped = usize::try_from(state.skip).unwrap_or(usize::MAX).min(chunk.len());
            state.skip -= skipped as u64;
            let mut kept = chunk.split_off(skipped);
            kept.truncate(usize::try_from(state.left).unwrap_or(usize::MAX));
            if !kept.is_empty() {
                state.left -= kept.len() as u64;
                state.expected = state.expected.map(|expected| expected.saturating_sub(kept.len() as u64));
                return Ok(Some((kept, state)));
            }
        }
        Ok(None)
    };
    stream::try_unfold(state, step).boxed()
}
