//! `http://` and `https://`: files of any web server.

use super::web::{self, RangeRequest, Redirects, WebClient, WebConfig, WebError};
use super::{safe_name, split};
use async_trait::async_trait;
use bytes::Bytes;
use clowder_core::BoxStream;
use clowder_core::secret::{Credentials, Secret};
use clowder_core::source::{Manifest, ModelSource, SourceError, SourceFile};
use clowder_core::url::ModelUrl;
use futures::{StreamExt, TryStreamExt, stream};
use reqwest::header::RANGE;
use reqwest::{Method, StatusCode};
use std::ops::Range;

/// Parts of a split model asked about at the same time.
const PARALLEL: usize = 4;

/// Files of web servers. A server without ranges or `HEAD` will do; credentials go to the URL's own origin alone.
#[derive(Clone)]
pub struct HttpSource {
    client: WebClient,
}

impl HttpSource {
    /// A source with its own connections.
    ///
    /// # Errors
    /// [`WebError`] where the HTTP client cannot be set up.
    pub fn new(config: &WebConfig) -> Result<Self, WebError> {
        Ok(Self { client: WebClient::new(config)? })
    }

    async fn describe(
        &self,
        url: String,
        name: &str,
        authorization: Option<&Secret>,
    ) -> Result<SourceFile, SourceError> {
        let what = web::shown(&url);
        let head = self.client.request(Method::HEAD, &url, Redirects::Follow, authorization);
        let response = head.send().await.map_err(|error| web::unreachable(&what, error))?;
        let headers = response.headers();
        let (size, etag) = match (response.status(), web::length_of(headers)) {
            // A length of none is what a server says that does not know it before it made the body.
            (StatusCode::OK, Some(size @ 1..)) => (Some(size), web::validator(headers)),
            (StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::TOO_MANY_REQUESTS, _) => {
                return Err(web::refused(&what, response.status(), headers, authorization.is_some()));
            }
            // Signed URLs and plain servers often answer GET alone: ask for the first byte.
            _ => {
                let get =
                    self.client.request(Method::GET, &url, Redirects::Follow, authorization).header(RANGE, "bytes=0-0");
                let response = get.send().await.map_err(|error| web::unreachable(&what, error))?;
                let headers = response.headers();
                match response.status() {
                    StatusCode::PARTIAL_CONTENT => (web::total_of(headers), web::validator(headers)),
                    StatusCode::RANGE_NOT_SATISFIABLE => (Some(0), web::validator(headers)),
                    _ => {
                        let response = web::succeeded(&what, response, authorization.is_some())?;
                        (web::length_of(response.headers()), web::validator(response.headers()))
                    }
                }
            }
        };
        Ok(SourceFile { name: safe_name(name), location: url, size, digest: None, etag })
    }
}

#[async_trait]
impl ModelSource for HttpSource {
    fn serves(&self, url: &ModelUrl) -> bool {
        matches!(url, ModelUrl::Http(_))
    }

    async fn resolve(&self, url: &ModelUrl, credentials: Option<&Credentials>) -> Result<Manifest, SourceError> {
        let ModelUrl::Http(text) = url else {
            return Err(SourceError::Unsupported { scheme: url.scheme().to_owned() });
        };
        let authorization = web::authorization(credentials);
        let name = url.file_name();
        let parts = split::all_of(&name).into_iter().map(|part| {
            let url = if part == name { text.clone() } else { with_name(text, &name, &part) };
            let authorization = authorization.as_ref();
            async move { self.describe(url, &part, authorization).await }
        });
        let files = stream::iter(parts.collect::<Vec<_>>()).buffered(PARALLEL).try_collect().await?;
        Ok(Manifest { url: url.clone(), files })
    }

    async fn read(
        &self,
        file: &SourceFile,
        range: Range<u64>,
        credentials: Option<&Credentials>,
    ) -> Result<BoxStream<Result<Bytes, SourceError>>, SourceError> {
        let what = web::shown(&file.location);
        let authorization = web::authorization(credentials);
        let request = RangeRequest {
            url: &file.location,
            what: &what,
            range,
            size: file.size,
            validator: file.etag.as_deref(),
            authorization: authorization.as_ref(),
        };
        self.client.read(request).await
    }
}

/// The URL with another last part of its path; its query stays.
fn with_name(url: &str, name: &str, other: &str) -> String {
    let (path, query) = url.split_at(url.find(['?', '#']).unwrap_or(url.len()));
    match path.rfind(name) {
        Some(at) => format!("{}{other}{query}", &path[..at]),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_keep_folder_and_query() {
        let url = "https://h/a/m-00001-of-00002.gguf?download=true";
        let other = with_name(url, "m-00001-of-00002.gguf", "m-00002-of-00002.gguf");
        assert_eq!(other, "https://h/a/m-00002-of-00002.gguf?download=true");
    }
}
