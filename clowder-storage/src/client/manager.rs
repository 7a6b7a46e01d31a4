//! One storage manager, over its REST API.

use super::ManagerError;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clowder_core::secret::Secret;
use clowder_core::source::Digest;
use clowder_core::store::{CachedModel, FetchProgress, FetchRequest};
use clowder_core::url::ModelUrl;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// Until a connection stands.
const CONNECT: Duration = Duration::from_secs(5);
/// For an answer to all but a fetch, which takes as long as it takes.
const ANSWER: Duration = Duration::from_secs(30);
/// The longest answer, in bytes.
const LONGEST_ANSWER: usize = 16 << 20;

/// A storage manager. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Manager {
    client: reqwest::Client,
    base: Url,
}

/// A model that a manager fetched.
#[derive(Clone, Debug, Deserialize)]
pub struct Fetched {
    /// What its main file hashes to.
    pub digest: Digest,
    /// Bytes of all its files.
    pub bytes: u64,
    /// The main file, as a path of the manager's node.
    pub path: PathBuf,
    /// What a process of that node locks shared as long as it uses the model, so that the manager does not remove it. An
    /// earlier manager says nothing of it.
    #[serde(default)]
    pub hold: Option<PathBuf>,
}

impl Manager {
    /// The manager at `base` (`http://HOST:PORT`), which asks its callers for `token`.
    ///
    /// # Errors
    /// [`ManagerError::Address`], [`ManagerError::Client`].
    pub fn new(base: &str, token: Option<&Secret>) -> Result<Self, ManagerError> {
        let address = || ManagerError::Address(base.chars().take(200).collect());
        let base: Url = base.parse().map_err(|_| address())?;
        if !matches!(base.scheme(), "http" | "https") || !base.has_host() {
            return Err(address());
        }
        let mut headers = HeaderMap::new();
        if let Some(token) = token {
            let value = HeaderValue::try_from(format!("Bearer {}", token.expose()));
            let mut value = value.map_err(|_| address())?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let client = reqwest::Client::builder()
            .default_headers(headers)
            .connect_timeout(CONNECT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(ManagerError::Client)?;
        Ok(Self { client, base })
    }

    /// Has the model fetched, and returns once it is whole. Going away stops the fetch, unless another caller waits for
    /// it; asked again, it goes on from there.
    ///
    /// # Errors
    /// [`ManagerError`]
    pub async fn fetch(&self, request: &FetchRequest) -> Result<Fetched, ManagerError> {
        let mut body = json!({ "url": request.url.to_string(), "digest": request.digest });
        if let Some(credentials) = &request.credentials {
            body["credentials"] = credentials.value.expose().into();
            body["credentialsType"] = json!(credentials.kind);
        }
        self.json(self.call(Method::POST, "content/").json(&body)).await
    }

    /// How far the model is; `None` where the manager does not know of it.
    ///
    /// # Errors
    /// [`ManagerError`]
    pub async fn progress(&self, url: &ModelUrl) -> Result<Option<FetchProgress>, ManagerError> {
        #[derive(Deserialize)]
        struct Content {
            progress: Option<FetchProgress>,
        }
        let call = self.call(Method::GET, &content_of(url)).timeout(ANSWER);
        match self.json::<Content>(call).await {
            Ok(content) => Ok(content.progress),
            Err(ManagerError::Refused { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All models that it has, or has begun to have.
    ///
    /// # Errors
    /// [`ManagerError`]
    pub async fn list(&self) -> Result<Vec<CachedModel>, ManagerError> {
        #[derive(Deserialize)]
        struct List {
            content: Vec<CachedModel>,
        }
        let list: List = self.json(self.call(Method::GET, "content/").timeout(ANSWER)).await?;
        Ok(list.content)
    }

    /// Forgets a model; one that it does not know is forgotten already.
    ///
    /// # Errors
    /// [`ManagerError`]; refused with the code `in_use` while a worker uses it.
    pub async fn forget(&self, url: &ModelUrl) -> Result<(), ManagerError> {
        self.answer(self.call(Method::DELETE, &content_of(url)).timeout(ANSWER)).await.map(drop)
    }

    /// Has these models stay once they are whole, and no others.
    ///
    /// # Errors
    /// [`ManagerError`]; refused with the code `too_many_pins` where they are more than
    /// [`MOST_PINS`](clowder_core::store::MOST_PINS).
    pub async fn pin(&self, urls: &BTreeSet<ModelUrl>) -> Result<(), ManagerError> {
        let call = self.call(Method::PUT, "pins").timeout(ANSWER);
        self.answer(call.json(&json!({ "pinned": urls }))).await.map(drop)
    }

    fn call(&self, method: Method, path: &str) -> RequestBuilder {
        let mut url = self.base.clone();
        url.set_path(path);
        self.client.request(method, url)
    }

    fn unreachable(&self, source: reqwest::Error) -> ManagerError {
        ManagerError::Unreachable { manager: self.base.to_string(), source: source.without_url() }
    }

    fn senseless(&self, status: StatusCode) -> ManagerError {
        ManagerError::Senseless { manager: self.base.to_string(), status: status.as_u16() }
    }

    async fn json<T: DeserializeOwned>(&self, call: RequestBuilder) -> Result<T, ManagerError> {
        let (status, body) = self.answer(call).await?;
        serde_json::from_slice(&body).map_err(|_| self.senseless(status))
    }

    async fn answer(&self, call: RequestBuilder) -> Result<(StatusCode, Vec<u8>), ManagerError> {
        #[derive(Deserialize)]
        struct Refusal {
            error: Reason,
        }
        #[derive(Deserialize)]
        struct Reason {
            message: String,
            code: String,
            actual: Option<Digest>,
        }
        let response = call.send().await.map_err(|error| self.unreachable(error))?;
        let status = response.status();
        let body = self.bounded(response).await?;
        if status.is_success() {
            return Ok((status, body));
        }
        let Refusal { error } = serde_json::from_slice(&body).map_err(|_| self.senseless(status))?;
        let Reason { message, code, actual } = error;
        Err(ManagerError::Refused { status: status.as_u16(), code, message, actual })
    }

    async fn bounded(&self, mut response: Response) -> Result<Vec<u8>, ManagerError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(error))? {
            if body.len() + chunk.len() > LONGEST_ANSWER {
                return Err(self.senseless(response.status()));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

fn content_of(url: &ModelUrl) -> String {
    format!("content/{}", URL_SAFE_NO_PAD.encode(url.to_string()))
}
