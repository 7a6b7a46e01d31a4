//! The rack: what is asked of its API, with time limits, a bounded number of tries, and errors that a person understands.

use crate::cluster::Network;
use crate::error::OxideError;
use crate::request::name;
use clowder_core::Secret;
use clowder_core::reconcile::Backoff;
use oxide::types::{self, NameOrId};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use std::time::Duration;
use url::Url;

mod change;
mod import;
mod list;
mod source;

pub use import::ImageProgress;

/// How long a call may take.
const CALL: Duration = Duration::from_secs(60);

/// How long a connection may take to be there.
const CONNECT: Duration = Duration::from_secs(10);

/// How often a call is made that changes nothing.
const TRIES: u32 = 4;

/// One project of a rack.
#[derive(Clone)]
pub struct Rack {
    client: oxide::Client,
    /// Says in errors which rack it is.
    host: String,
    project: NameOrId,
    vpc: NameOrId,
    retry: Backoff,
}

/// Where a rack is, and who one is there.
#[derive(Clone, Debug)]
pub struct Login {
    /// The rack's address.
    pub url: Url,
    /// An access token.
    pub token: Secret,
}

impl Rack {
    /// A project of the rack at this address. Nothing is asked of it yet.
    ///
    /// # Errors
    /// [`OxideError::InvalidToken`], [`OxideError::InvalidName`]; [`OxideError::Unreachable`] where there can be no client
    /// at all.
    pub fn new(login: &Login, project: &str, network: &Network) -> Result<Self, OxideError> {
        let host = login.url.host_str().unwrap_or("the rack").to_owned();
        let bearer = format!("Bearer {}", login.token.expose());
        let mut bearer = HeaderValue::from_str(&bearer).map_err(|_| OxideError::InvalidToken { host: host.clone() })?;
        bearer.set_sensitive(true);
        let client = reqwest::Client::builder()
            .user_agent(concat!("clowder/", env!("CARGO_PKG_VERSION")))
            .default_headers(HeaderMap::from_iter([(AUTHORIZATION, bearer)]))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .timeout(CALL)
            .http1_only()
            .build()
            .map_err(|source| OxideError::Unreachable { host: host.clone(), what: "prepare".to_owned(), source })?;
        let base = login.url.as_str().trim_end_matches('/');
        Ok(Self {
            client: oxide::Client::new_with_client(base, client),
            host,
            project: name(project)?.into(),
            vpc: name(&network.vpc)?.into(),
            retry: Backoff { first: Duration::from_millis(250), most: Duration::from_secs(5) },
        })
    }

    /// The same, with other waits between tries of a call that changes nothing.
    pub fn with_retry(self, retry: Backoff) -> Self {
        Self { retry, ..self }
    }

    /// What to say where there is no such project.
    pub(crate) fn no_project(&self, project: &str) -> OxideError {
        OxideError::UnknownProject { host: self.host.clone(), project: project.to_owned() }
    }

    /// Asks something that changes nothing, again where that may help.
    async fn ask<T, F>(&self, what: &str, call: impl Fn() -> F) -> Result<T, OxideError>
    where
        F: Future<Output = Result<T, oxide::Error<types::Error>>>,
    {
        let mut tried = 0;
        loop {
            tried += 1;
            match call().await.map_err(|error| OxideError::new(&self.host, what, error)) {
                Err(error) if error.is_passing() && tried < TRIES => {
                    tracing::debug!(what, tried, %error, "asked again");
                    tokio::time::sleep(self.retry.wait(tried)).await;
                }
                outcome => return outcome,
            }
        }
    }

    /// Has something changed, once: an answer may have been lost, and whoever looks again sees what became of it.
    ///
    /// The client writes requests to its log, and some hold what machines keep secret, so here it has none.
    async fn change<T>(
        &self,
        what: &str,
        call: impl Future<Output = Result<oxide::ResponseValue<T>, oxide::Error<types::Error>>>,
    ) -> Result<T, OxideError> {
        use tracing::instrument::WithSubscriber;
        let silent = call.with_subscriber(tracing::subscriber::NoSubscriber::default());
        silent.await.map(oxide::ResponseValue::into_inner).map_err(|error| OxideError::new(&self.host, what, error))
    }
}
