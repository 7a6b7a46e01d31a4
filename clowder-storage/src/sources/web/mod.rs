//! What the sources on the web share: a client that knows ranges, bounds redirects and keeps credentials at home.

mod body;
mod range;

pub(super) use body::bounded;
pub(super) use range::{RangeRequest, length_of, total_of, validator};

use clowder_core::BoxError;
use clowder_core::secret::{Credentials, Secret};
use clowder_core::source::SourceError;
use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use std::time::Duration;

const MOST_REDIRECTS: usize = 10;

/// How long a server may be silent. There is no limit on a whole answer: a model takes as long as it takes.
#[derive(Clone, Debug)]
pub struct WebConfig {
    /// Until a connection stands.
    pub connect_timeout: Duration,
    /// Between two pieces of an answer.
    pub idle_timeout: Duration,
}

impl Default for WebConfig {
    fn default() -> Self {
        Self { connect_timeout: Duration::from_secs(10), idle_timeout: Duration::from_secs(60) }
    }
}

/// Why the sources on the web could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebError {
    /// The HTTP client does not start.
    #[error("the HTTP client cannot be set up")]
    Client(#[source] BoxError),
    /// A hub's address that is none.
    #[error("{0:?} is no address of a hub: write https://HOST")]
    Endpoint(String),
}

/// An answer that is no success, kept as the cause of [`SourceError::Unreachable`].
#[derive(Debug, thiserror::Error)]
#[error("the server answered {status}")]
pub struct UnexpectedStatus {
    /// The HTTP status.
    pub status: u16,
    /// What the server asks for in `Retry-After`.
    pub retry_after: Option<Duration>,
}

impl UnexpectedStatus {
    /// Whether the same request may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self.status, 408 | 425 | 429 | 500..)
    }
}

/// An answer that does not fit its request.
#[derive(Debug, thiserror::Error)]
#[error("the server's answer does not make sense: {0}")]
pub(super) struct Senseless(pub(super) &'static str);

/// Two HTTP clients that differ in which redirects they follow.
#[derive(Clone)]
pub(super) struct WebClient {
    following: reqwest::Client,
    staying: reqwest::Client,
}

/// Which redirects a request follows. Credentials never go to another origin with either.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Redirects {
    /// All, ten at most, and never from https to http.
    Follow,
    /// Those within the server; another one is the answer. A hub's metadata is in the headers of such a redirect.
    Stay,
}

impl WebClient {
    pub(super) fn new(config: &WebConfig) -> Result<Self, WebError> {
        let client = |policy: Policy| {
            reqwest::Client::builder()
                .connect_timeout(config.connect_timeout)
                .read_timeout(config.idle_timeout)
                .user_agent(concat!("clowder/", env!("CARGO_PKG_VERSION")))
                .redirect(policy)
                .build()
                .map_err(|error| WebError::Client(error.into()))
        };
        Ok(Self {
            following: client(Policy::custom(follow))?,
            staying: client(Policy::custom(|attempt| {
                let home = attempt.previous().first().map(reqwest::Url::origin);
                if home == Some(attempt.url().origin()) { follow(attempt) } else { attempt.stop() }
            }))?,
        })
    }

    pub(super) fn request(
        &self,
        method: Method,
        url: &str,
        redirects: Redirects,
        authorization: Option<&Secret>,
    ) -> RequestBuilder {
        let client = if redirects == Redirects::Follow { &self.following } else { &self.staying };
        // Bytes as they are stored: lengths and ranges of a compressed answer are others.
        let request = client.request(method, url).header(ACCEPT_ENCODING, "identity");
        match authorization.and_then(|value| HeaderValue::from_str(value.expose()).ok()) {
            Some(mut value) => {
                value.set_sensitive(true);
                request.header(AUTHORIZATION, value)
            }
            None => request,
        }
    }
}

fn follow(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let downgraded =
        attempt.url().scheme() != "https" && attempt.previous().last().is_some_and(|url| url.scheme() == "https");
    if attempt.previous().len() > MOST_REDIRECTS {
        attempt.error("too many redirects")
    } else if downgraded {
        attempt.error("a redirect from https to http is not followed")
    } else {
        attempt.follow()
    }
}

pub(super) fn authorization(credentials: Option<&Credentials>) -> Option<Secret> {
    credentials.map(Credentials::authorization)
}

/// A failure before or within an answer. The URL is taken out of it: a signed one is a secret.
pub(super) fn unreachable(what: &str, error: reqwest::Error) -> SourceError {
    SourceError::Unreachable { what: what.to_owned(), source: error.without_url().into() }
}

pub(super) fn senseless(what: &str, why: &'static str) -> SourceError {
    SourceError::Unreachable { what: what.to_owned(), source: Senseless(why).into() }
}

/// What a status that is no success means.
pub(super) fn refused(what: &str, status: StatusCode, headers: &HeaderMap, with_credentials: bool) -> SourceError {
    let what = what.to_owned();
    match status {
        StatusCode::NOT_FOUND | StatusCode::GONE => SourceError::NotFound { what },
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            let hint = if with_credentials {
                "the server refused the credentials given: check that they are valid and reach this file"
            } else {
                "the server asks for credentials: give them with the model"
            };
            SourceError::Denied { what, hint: hint.to_owned() }
        }
        _ => {
            let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
            let retry_after = seconds.map(Duration::from_secs);
            SourceError::Unreachable { what, source: UnexpectedStatus { status: status.as_u16(), retry_after }.into() }
        }
    }
}

/// The response, or why it is none.
pub(super) fn succeeded(what: &str, response: Response, with_credentials: bool) -> Result<Response, SourceError> {
    match response.status() {
        status if status.is_success() => Ok(response),
        status => Err(refused(what, status, response.headers(), with_credentials)),
    }
}

/// A URL as a person may see it: without its query, which may be a signature.
pub(super) fn shown(url: &str) -> String {
    url.split(['?', '#']).next().unwrap_or(url).to_owned()
}
