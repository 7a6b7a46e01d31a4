//! A web server and a Hugging Face hub, as far as clients of models see them, with faults on demand.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    reason = "shared by tests that each use a part"
)]

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, IF_RANGE, LOCATION, RANGE, RETRY_AFTER,
};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use clowder_core::ModelUrl;
use clowder_core::source::Digest;
use clowder_core::store::{FetchProgress, FetchRequest, StoreError, StoredModel};
use clowder_storage::cache::Retries;
use clowder_storage::{Cache, CacheConfig};
use futures::{StreamExt, stream};
use sha2::{Digest as _, Sha256};
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;

pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What happens to the next answer with a body.
#[derive(Clone)]
pub enum Fault {
    /// The connection is cut after so many bytes.
    Cut(usize),
    /// After so many bytes nothing comes any more.
    Stall(usize),
    /// Another status.
    Status(u16),
    /// Too many requests, come back after so many seconds.
    RetryAfter(u64),
    /// It says that it is of a file of another size.
    WrongTotal,
    /// It is another range than the one asked for.
    WrongRange,
}

/// A file of the server.
#[derive(Clone)]
pub struct File {
    pub bytes: Bytes,
    pub etag: Option<String>,
    /// Stored apart from git, as the hub does with large files.
    pub large: bool,
}

/// A request, as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: Method,
    pub path: String,
    pub range: Option<String>,
    pub authorization: Option<String>,
}

#[derive(Default)]
struct Inner {
    files: HashMap<String, File>,
    redirects: HashMap<String, String>,
    faults: VecDeque<Fault>,
    seen: Vec<Seen>,
    no_ranges: bool,
    no_head: bool,
    token: Option<String>,
    gated: bool,
    cdn: Option<String>,
    lie_about_digest: bool,
}

/// A server on a port of its own. Web files are at any path; hub files at `OWNER/REPO/FILE` with [`Server::hub_file`].
#[derive(Clone)]
pub struct Server {
    pub address: SocketAddr,
    inner: Arc<Mutex<Inner>>,
    stop: tokio_util::sync::CancellationToken,
}

impl Server {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self { address: listener.local_addr().unwrap(), inner: Arc::default(), stop: Default::default() };
        let app = Router::new().fallback(answer).with_state(server.clone());
        let stopped = server.stop.clone().cancelled_owned();
        tokio::spawn(async move {
            tokio::select! {
                served = async { axum::serve(listener, app).await } => served.unwrap(),
                () = stopped => {}
            }
        });
        server
    }

    fn with<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        work(&mut self.inner.lock().unwrap())
    }

    pub fn file(&self, path: &str, bytes: impl Into<Bytes>) -> ModelUrl {
        let bytes = bytes.into();
        let etag = Some(format!("\"{}\"", &digest(&bytes).hex()[..16]));
        self.with(|inner| inner.files.insert(path.to_owned(), File { bytes, etag, large: false }));
        self.url(path)
    }

    pub fn unmarked_file(&self, path: &str, bytes: impl Into<Bytes>) -> ModelUrl {
        let url = self.file(path, bytes);
        self.with(|inner| inner.files.get_mut(path).unwrap().etag = None);
        url
    }

    /// A file of a hub's repository, named `/OWNER/REPO/FILE`.
    pub fn hub_file(&self, path: &str, bytes: impl Into<Bytes>, large: bool) {
        let bytes = bytes.into();
        let etag = if large { digest(&bytes).hex() } else { "f".repeat(40) };
        self.with(|inner| {
            inner.files.insert(path.to_owned(), File { bytes, etag: Some(format!("\"{etag}\"")), large })
        });
    }

    pub fn redirect(&self, path: &str, to: String) -> ModelUrl {
        self.with(|inner| inner.redirects.insert(path.to_owned(), to));
        self.url(path)
    }

    pub fn url(&self, path: &str) -> ModelUrl {
        format!("http://{}{path}", self.address).parse().unwrap()
    }

    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next answer with a body goes wrong.
    pub fn fault(&self, fault: Fault) {
        self.with(|inner| inner.faults.push_back(fault));
    }

    pub fn without_ranges(&self) {
        self.with(|inner| inner.no_ranges = true);
    }

    pub fn without_head(&self) {
        self.with(|inner| inner.no_head = true);
    }

    pub fn needs_token(&self, token: &str) {
        self.with(|inner| inner.token = Some(token.to_owned()));
    }

    pub fn gated(&self) {
        self.with(|inner| inner.gated = true);
    }

    /// Large files are read from there.
    pub fn with_cdn(&self, cdn: &Self) {
        self.with(|inner| inner.cdn = Some(cdn.base()));
    }

    pub fn lies_about_digests(&self) {
        self.with(|inner| inner.lie_about_digest = true);
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.with(|inner| inner.seen.clone())
    }

    /// The ranges of all requests for bytes of a path.
    pub fn reads(&self, path: &str) -> Vec<Option<String>> {
        let seen = self.seen().into_iter().filter(|seen| seen.method == Method::GET && seen.path == path);
        seen.map(|seen| seen.range).collect()
    }

    /// Listens no longer.
    pub fn shut_down(&self) {
        self.stop.cancel();
    }
}

async fn answer(State(server): State<Server>, request: Request) -> Response {
    let header = |name| Some(request.headers().get(name)?.to_str().unwrap().to_owned());
    let path = request.uri().path().to_owned();
    let method = request.method().clone();
    let (range, authorization) = (header(RANGE), header(AUTHORIZATION));
    let seen =
        Seen { method: method.clone(), path: path.clone(), range: range.clone(), authorization: authorization.clone() };
    server.with(|inner| inner.seen.push(seen));
    server.with(|inner| {
        if method == Method::HEAD && inner.no_head {
            return StatusCode::METHOD_NOT_ALLOWED.into_response();
        }
        if let Some(token) = &inner.token
            && authorization.as_deref() != Some(format!("Bearer {token}").as_str())
        {
            let code = if inner.gated { "GatedRepo" } else { "RepoNotFound" };
            return (StatusCode::UNAUTHORIZED, [("x-error-code", code)]).into_response();
        }
        if let Some(to) = inner.redirects.get(&path) {
            return (StatusCode::FOUND, [(LOCATION, to.clone())]).into_response();
        }
        if let Some(repository) = path.strip_prefix("/api/models/") {
            return listing(inner, repository);
        }
        let fault = if method == Method::GET { inner.faults.pop_front() } else { None };
        if path.contains("/resolve/") {
            return resolve(inner, &path, &method, range.as_deref(), fault);
        }
        match inner.files.get(&path) {
            Some(file) => {
                let if_range = request.headers().get(IF_RANGE).map(|value| value.to_str().unwrap());
                let fresh = if_range.is_none() || if_range == file.etag.as_deref();
                let range = range.filter(|_| fresh && !inner.no_ranges);
                body(file, &method, range.as_deref(), fault)
            }
            None => StatusCode::NOT_FOUND.into_response(),
        }
    })
}

/// `/OWNER/REPO/revision/REVISION`
fn listing(inner: &Inner, path: &str) -> Response {
    let (repository, _) = path.split_once("/revision/").unwrap();
    let prefix = format!("/{repository}/");
    let names: Vec<_> = inner.files.keys().filter_map(|path| path.strip_prefix(&prefix)).collect();
    if names.is_empty() {
        return (StatusCode::NOT_FOUND, [("x-error-code", "RepoNotFound")]).into_response();
    }
    let siblings: Vec<_> = names.iter().map(|name| serde_json::json!({"rfilename": name})).collect();
    axum::Json(serde_json::json!({"id": repository, "sha": COMMIT, "siblings": siblings})).into_response()
}

/// `/OWNER/REPO/resolve/REVISION/FILE`
fn resolve(inner: &Inner, path: &str, method: &Method, range: Option<&str>, fault: Option<Fault>) -> Response {
    let (repository, rest) = path.split_once("/resolve/").unwrap();
    let (revision, name) = rest.split_once('/').unwrap();
    if !["main", "v1", COMMIT].contains(&revision) {
        return (StatusCode::NOT_FOUND, [("x-error-code", "RevisionNotFound")]).into_response();
    }
    let stored = format!("{repository}/{name}");
    let Some(file) = inner.files.get(&stored) else {
        return (StatusCode::NOT_FOUND, [("x-error-code", "EntryNotFound")]).into_response();
    };
    let mut headers = HeaderMap::new();
    headers.insert("x-repo-commit", HeaderValue::from_static(COMMIT));
    if file.large {
        let etag = if inner.lie_about_digest { format!("\"{}\"", "0".repeat(64)) } else { file.etag.clone().unwrap() };
        headers.insert("x-linked-etag", etag.parse().unwrap());
        headers.insert("x-linked-size", file.bytes.len().into());
        if let Some(cdn) = &inner.cdn {
            headers.insert(LOCATION, format!("{cdn}{stored}?signature=secret").parse().unwrap());
            return (StatusCode::FOUND, headers, "Found. Redirecting").into_response();
        }
    }
    (headers, body(file, method, range, fault)).into_response()
}

fn body(file: &File, method: &Method, range: Option<&str>, fault: Option<Fault>) -> Response {
    let size = file.bytes.len();
    let mut headers = HeaderMap::new();
    if let Some(etag) = &file.etag {
        headers.insert(ETAG, etag.parse().unwrap());
    }
    let (mut status, mut bytes) = (StatusCode::OK, file.bytes.clone());
    if let Some(range) = range {
        let (first, last) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
        let first: usize = first.parse().unwrap();
        let last = last.parse::<usize>().map_or(size, |last| (last + 1).min(size));
        if first >= last {
            headers.insert(CONTENT_RANGE, format!("bytes */{size}").parse().unwrap());
            return (StatusCode::RANGE_NOT_SATISFIABLE, headers).into_response();
        }
        status = StatusCode::PARTIAL_CONTENT;
        bytes = file.bytes.slice(first..last);
        let (named, total) = match fault {
            Some(Fault::WrongTotal) => (first, size + 1),
            Some(Fault::WrongRange) => (first + 1, size + 1),
            _ => (first, size),
        };
        let value = format!("bytes {named}-{}/{total}", named + bytes.len() - 1);
        headers.insert(CONTENT_RANGE, value.parse().unwrap());
    }
    headers.insert(CONTENT_LENGTH, bytes.len().into());
    if method == Method::HEAD {
        return (status, headers).into_response();
    }
    let body = match fault {
        Some(Fault::Status(status)) => return StatusCode::from_u16(status).unwrap().into_response(),
        Some(Fault::RetryAfter(seconds)) => {
            return (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, seconds.to_string())]).into_response();
        }
        Some(Fault::Cut(after)) => {
            let error = std::io::Error::other("cut");
            Body::from_stream(stream::iter([Ok(bytes.slice(..after.min(bytes.len()))), Err(error)]))
        }
        Some(Fault::Stall(after)) => {
            let some = stream::iter([Ok::<_, std::io::Error>(bytes.slice(..after.min(bytes.len())))]);
            Body::from_stream(some.chain(stream::pending()))
        }
        Some(Fault::WrongTotal | Fault::WrongRange) | None => Body::from(bytes),
    };
    (status, headers, body).into_response()
}

pub fn digest(bytes: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::digest(bytes).into())
}

/// Bytes that are no model and not the same everywhere.
pub fn noise(length: usize) -> Vec<u8> {
    (0..length as u64).map(|at| (at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as u8).collect()
}

/// Retries at once, so that tests do not wait.
pub fn retries(most: u32) -> Retries {
    Retries { most, first: Duration::ZERO, longest: Duration::ZERO }
}

pub async fn cache(folder: &Path, source: impl clowder_core::ModelSource + 'static) -> Cache {
    let config = CacheConfig { retries: retries(3), ..CacheConfig::new("here".into(), folder) };
    Cache::open(config, source).await.unwrap()
}

pub async fn pull(cache: &Cache, url: &ModelUrl) -> Result<StoredModel, StoreError> {
    cache.pull(FetchRequest::from(url.clone()), watch::channel(FetchProgress::default()).0).await
}

/// Starts a fetch, waits until so many bytes were seen, and drops it.
pub async fn pull_until(cache: &Cache, url: &ModelUrl, bytes: u64) {
    let (progress, mut seen) = watch::channel(FetchProgress::default());
    tokio::select! {
        done = cache.pull(FetchRequest::from(url.clone()), progress) => panic!("it ended: {done:?}"),
        _ = async { seen.wait_for(|progress| progress.bytes >= bytes).await.unwrap(); } => {}
    }
}
