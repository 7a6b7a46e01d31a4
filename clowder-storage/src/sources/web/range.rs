//! One range of a file over HTTP (RFC 9110, section 14).

use super::body::window;
use super::{Redirects, WebClient, refused, senseless, unreachable};
use bytes::Bytes;
use clowder_core::BoxStream;
use clowder_core::secret::Secret;
use clowder_core::source::SourceError;
use futures::{StreamExt, stream};
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, HeaderName, IF_RANGE, LAST_MODIFIED, RANGE};
use reqwest::{Method, StatusCode};
use std::ops::Range;

/// What is to be read.
pub(in crate::sources) struct RangeRequest<'a> {
    /// From where.
    pub(in crate::sources) url: &'a str,
    /// The same, for people.
    pub(in crate::sources) what: &'a str,
    /// Which bytes.
    pub(in crate::sources) range: Range<u64>,
    /// The file's size, where known: an answer of another size is another file.
    pub(in crate::sources) size: Option<u64>,
    /// The file's [`validator`], where the same server gave one: an answer with another is another file.
    pub(in crate::sources) validator: Option<&'a str>,
    /// `Authorization`, for the first server alone.
    pub(in crate::sources) authorization: Option<&'a Secret>,
}

impl WebClient {
    /// Reads a range. A server that does not know ranges sends all, of which what was not asked for is passed over.
    pub(in crate::sources) async fn read(
        &self,
        request: RangeRequest<'_>,
    ) -> Result<BoxStream<Result<Bytes, SourceError>>, SourceError> {
        let RangeRequest { url, what, range, size, validator: expected, authorization } = request;
        let end = size.map_or(range.end, |size| range.end.min(size));
        let Some(length) = end.checked_sub(range.start).filter(|length| *length > 0) else {
            return Ok(stream::empty().boxed());
        };
        let wanted = match end {
            u64::MAX => format!("bytes={}-", range.start),
            end => format!("bytes={}-{}", range.start, end - 1),
        };
        let mut get = self.request(Method::GET, url, Redirects::Follow, authorization).header(RANGE, wanted);
        if let Some(strong) = expected.filter(|etag| etag.starts_with('"')) {
            get = get.header(IF_RANGE, strong);
        }
        let response = get.send().await.map_err(|error| unreachable(what, error))?;
        let headers = response.headers();
        let changed = || SourceError::Changed { what: what.to_owned() };
        let same_size = |total: Option<u64>| total.is_none() || size.is_none() || total == size;
        match response.status() {
            StatusCode::PARTIAL_CONTENT => {
                let Some((first, total)) = headers.get(CONTENT_RANGE).and_then(|v| content_range(v.to_str().ok()?))
                else {
                    return Err(senseless(what, "it is partial and does not say which part"));
                };
                if other_version(expected, headers) || !same_size(total) {
                    return Err(changed());
                }
                if first != Some(range.start) {
                    return Err(senseless(what, "it is another part than the one asked for"));
                }
                let whole = total.map(|total| total.saturating_sub(range.start));
                Ok(window(what.to_owned(), response, 0, length, whole))
            }
            StatusCode::OK => {
                let total = length_of(headers);
                if other_version(expected, headers) || !same_size(total) {
                    return Err(changed());
                }
                let whole = total.or(size).map(|total| total.saturating_sub(range.start));
                Ok(window(what.to_owned(), response, range.start, length, whole))
            }
            StatusCode::RANGE_NOT_SATISFIABLE => {
                let total = headers
                    .get(CONTENT_RANGE)
                    .and_then(|v| content_range(v.to_str().ok()?))
                    .and_then(|(_, total)| total);
                match total {
                    Some(total) if total <= range.start && size.is_none() => Ok(stream::empty().boxed()),
                    _ => Err(changed()),
                }
            }
            status if status.is_success() => Err(senseless(what, "its status is no answer to a range")),
            status => Err(refused(what, status, headers, authorization.is_some())),
        }
    }
}

/// A server's mark of a version: the entity tag, else the time of the last change.
pub(in crate::sources) fn validator(headers: &HeaderMap) -> Option<String> {
    text(headers, &ETAG).or_else(|| text(headers, &LAST_MODIFIED))
}

/// `Content-Length` as sent. The client's own idea of it is that of the body, which an answer to HEAD has none of.
pub(in crate::sources) fn length_of(headers: &HeaderMap) -> Option<u64> {
    text(headers, &CONTENT_LENGTH)?.parse().ok()
}

/// The size of the whole file, of an answer to a range.
pub(in crate::sources) fn total_of(headers: &HeaderMap) -> Option<u64> {
    content_range(&text(headers, &CONTENT_RANGE)?)?.1
}

fn other_version(expected: Option<&str>, headers: &HeaderMap) -> bool {
    expected.zip(validator(headers)).is_some_and(|(expected, actual)| expected != actual)
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.trim().to_owned())
}

/// Of `bytes 5-9/20`: 5 and 20. Either may be left open.
fn content_range(value: &str) -> Option<(Option<u64>, Option<u64>)> {
    let (range, total) = value.trim().strip_prefix("bytes")?.trim_start().split_once('/')?;
    let total = match total.trim() {
        "*" => None,
        digits => Some(digits.parse().ok()?),
    };
    let first = match range.trim() {
        "*" => None,
        range => {
            let (first, last) = range.split_once('-')?;
            let (first, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
            let sensible = first <= last && total.is_none_or(|total| last < total);
            Some(sensible.then_some(first)?)
        }
    };
    Some((first, total))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn content_ranges() {
        assert_eq!(content_range("bytes 5-9/20"), Some((Some(5), Some(20))));
        assert_eq!(content_range("bytes 5-9/*"), Some((Some(5), None)));
        assert_eq!(content_range("bytes */20"), Some((None, Some(20))));
        for bad in ["", "bytes", "bytes 9-5/20", "bytes 5-20/20", "items 1-2/3", "bytes a-b/c", "bytes 5-9"] {
            assert_eq!(content_range(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_header_is_read_without_panic(value in "(bytes )?[0-9*]{0,22}-?[0-9]{0,22}/?[0-9*]{0,22}") {
            content_range(&value);
        }
    }
}
