//! The client of a Clowder server: its operational API, and its chat.

mod chat;
mod views;

pub(crate) use chat::{ChatPart, ChatRequest, Message, Usage};
pub(crate) use views::{CanaryView, ModelView, NodeView, WorkerView};

use crate::context::is_loopback;
use crate::exit::Error;
use crate::sse;
use clowder_core::Secret;
use futures::{Stream, StreamExt, TryStreamExt};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::time::Duration;
use url::Url;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);
/// How long the operational API may take to answer.
const ANSWER: Duration = Duration::from_secs(30);
/// The longest answer read whole, in bytes.
const MAX_ANSWER: usize = 64 << 20;

/// What a client shows of itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tokens {
    /// For the operational API.
    pub(crate) admin: Option<Secret>,
    /// For the OpenAI API, where the server asks for a key; the admin token where there is none.
    pub(crate) api: Option<Secret>,
}

/// A client of one server.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    tokens: Tokens,
}

impl Client {
    /// A client of the server at `base`; connects when first used.
    pub(crate) fn new(base: Url, tokens: Tokens) -> Result<Self, Error> {
        let mut builder = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("clowder/", env!("CARGO_PKG_VERSION")));
        if is_loopback(&base) {
            builder = builder.no_proxy();
        }
        let http =
            builder.build().map_err(|source| Error::Unreachable { server: base.to_string(), source: source.into() })?;
        Ok(Self { http, base, tokens })
    }

    /// The server's address, for messages.
    pub(crate) fn server(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// Whether a Clowder server answers.
    pub(crate) async fn answers(&self) -> bool {
        let request = self.http.get(self.url(&["health", "live"])).timeout(CONNECT);
        request.send().await.is_ok_and(|response| response.status().is_success())
    }

    /// All models that shall be served.
    pub(crate) async fn models(&self) -> Result<Answer, Error> {
        self.fetch(self.api(Method::GET, &["models"])).await
    }

    /// One of them.
    pub(crate) async fn model(&self, model: &str) -> Result<Answer, Error> {
        self.fetch(self.api(Method::GET, &["models", model])).await
    }

    /// Records a model.
    pub(crate) async fn deploy(&self, body: &Value) -> Result<Answer, Error> {
        self.fetch(self.api(Method::POST, &["models"]).json(body)).await
    }

    /// Changes a model's record.
    pub(crate) async fn change(&self, model: &str, body: &Value) -> Result<Answer, Error> {
        self.fetch(self.api(Method::PATCH, &["models", model]).json(body)).await
    }

    /// Removes a model's record.
    pub(crate) async fn remove(&self, model: &str) -> Result<(), Error> {
        self.send(self.api(Method::DELETE, &["models", model]).timeout(ANSWER)).await.map(drop)
    }

    /// All workers.
    pub(crate) async fn workers(&self) -> Result<Answer, Error> {
        self.fetch(self.api(Method::GET, &["workers"])).await
    }

    /// All nodes.
    pub(crate) async fn nodes(&self) -> Result<Answer, Error> {
        self.fetch(self.api(Method::GET, &["nodes"])).await
    }

    /// How the server fares.
    pub(crate) async fn status(&self) -> Result<Answer, Error> {
        self.fetch(self.api(Method::GET, &["status"])).await
    }

    /// What a worker wrote, as it comes.
    pub(crate) async fn logs(
        &self,
        worker: &str,
        tail: Option<usize>,
        follow: bool,
    ) -> Result<impl Stream<Item = Result<bytes::Bytes, Error>> + use<>, Error> {
        let mut request = self.api(Method::GET, &["workers", worker, "logs"]).query(&[("follow", follow)]);
        if let Some(tail) = tail {
            request = request.query(&[("tail", tail)]);
        }
        Ok(self.body(self.send(request).await?))
    }

    /// All models, now and after every change.
    pub(crate) async fn events(&self) -> Result<impl Stream<Item = Result<Vec<ModelView>, Error>> + use<>, Error> {
        let response = self.send(self.api(Method::GET, &["events"])).await?;
        let this = self.clone();
        Ok(self.event_stream(response).try_filter_map(move |event| {
            let parsed = match event.event.as_str() {
                "models" => views::models(&event.data).map(Some).map_err(|e| this.foreign(e)),
                _ => Ok(None),
            };
            std::future::ready(parsed)
        }))
    }

    fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    fn api(&self, method: Method, segments: &[&str]) -> RequestBuilder {
        let request = self.http.request(method, self.url(&[&["api", "v1"], segments].concat()));
        authorised(request, self.tokens.admin.as_ref())
    }

    async fn fetch(&self, request: RequestBuilder) -> Result<Answer, Error> {
        let response = self.send(request.timeout(ANSWER)).await?;
        let body = self.whole(response).await?;
        let value = serde_json::from_slice(&body).map_err(|e| self.foreign(e))?;
        Ok(Answer { server: self.server().to_owned(), value })
    }

    /// Sends a request; an answer that is an error becomes one.
    async fn send(&self, request: RequestBuilder) -> Result<Response, Error> {
        let unreachable = |e: reqwest::Error| Error::Unreachable { server: self.server().to_owned(), source: e.into() };
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = self.whole(response).await.unwrap_or_default();
        Err(self.refusal(status, &body))
    }

    fn refusal(&self, status: StatusCode, body: &[u8]) -> Error {
        let answer: Option<Value> = serde_json::from_slice(body).ok();
        let message = answer.as_ref().and_then(|value| value["error"]["message"].as_str());
        let message = message.map_or_else(|| format!("{} answered {status}", self.server()), str::to_owned);
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Error::Denied { server: self.server().to_owned(), message }
            }
            StatusCode::NOT_FOUND => Error::NotFound { message },
            _ => Error::Refused { message },
        }
    }

    async fn whole(&self, response: Response) -> Result<Vec<u8>, Error> {
        let mut body = Vec::new();
        let mut stream = Box::pin(self.body(response));
        while let Some(bytes) = stream.try_next().await? {
            if body.len() + bytes.len() > MAX_ANSWER {
                return Err(self.foreign(std::io::Error::other(format!("more than {MAX_ANSWER} bytes"))));
            }
            body.extend_from_slice(&bytes);
        }
        Ok(body)
    }

    fn body(&self, response: Response) -> impl Stream<Item = Result<bytes::Bytes, Error>> + use<> {
        let server = self.server().to_owned();
        response.bytes_stream().map_err(move |e| Error::BrokenOff { server: server.clone(), source: e.into() })
    }

    fn event_stream(&self, response: Response) -> impl Stream<Item = Result<sse::Event, Error>> + use<> {
        let this = self.clone();
        let mut parser = sse::Parser::default();
        self.body(response)
            .map(move |bytes| -> Vec<Result<sse::Event, Error>> {
                match bytes.and_then(|bytes| parser.push(&bytes).map_err(|e| this.foreign(e))) {
                    Ok(events) => events.into_iter().map(Ok).collect(),
                    Err(error) => vec![Err(error)],
                }
            })
            .flat_map(futures::stream::iter)
    }

    fn foreign(&self, source: impl Into<clowder_core::BoxError>) -> Error {
        Error::Foreign { server: self.server().to_owned(), source: source.into() }
    }
}

fn authorised(request: RequestBuilder, token: Option<&Secret>) -> RequestBuilder {
    match token {
        Some(token) => request.bearer_auth(token.expose()),
        None => request,
    }
}

/// An answer of the operational API: printed as it came for programs, read for people.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    server: String,
    /// The answer as it came.
    pub(crate) value: Value,
}

impl Answer {
    /// The answer read as one thing.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, Error> {
        T::deserialize(&self.value).map_err(|e| self.foreign(e))
    }

    /// The answer read as a list, which comes as `{"data": [...]}`.
    pub(crate) fn list<T: DeserializeOwned>(&self) -> Result<Vec<T>, Error> {
        Vec::deserialize(&self.value["data"]).map_err(|e| self.foreign(e))
    }

    fn foreign(&self, source: serde_json::Error) -> Error {
        Error::Foreign { server: self.server.clone(), source: source.into() }
    }
}
