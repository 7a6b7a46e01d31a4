//! `hf://`: files of a Hugging Face hub.
//!
//! Plain HTTP on the hub's documented interface. The `hf-hub` client (1.0) was looked at and left out: it has no way to
//! send *no* token, so a URL with a host of its own would be given the token of the public hub; its listing drops the
//! SHA-256 of a file; its metadata call follows the redirect whose headers carry the metadata; and it brings the xet
//! stack with it.

mod hub;
mod quantisation;

use super::web::{self, RangeRequest, WebClient, WebConfig, WebError};
use super::{safe_name, split};
use async_trait::async_trait;
use bytes::Bytes;
use clowder_core::BoxStream;
use clowder_core::secret::{Credentials, Secret};
use clowder_core::source::{Manifest, ModelSource, SourceError, SourceFile};
use clowder_core::url::{HuggingFaceFile, HuggingFaceUrl, ModelUrl};
use futures::{StreamExt, TryStreamExt, stream};
use hub::Repository;
use std::ops::Range;
use url::Url;

/// Parts of a split model asked about at the same time.
const PARALLEL: usize = 4;

/// The hub that `hf:///OWNER/REPO/FILE` means, the one with an empty host.
#[derive(Clone, Debug)]
pub struct HubConfig {
    /// Its address.
    pub endpoint: String,
    /// The token for it where a model brings no credentials. Hubs named in a URL never see it.
    pub token: Option<Secret>,
}

impl Default for HubConfig {
    fn default() -> Self {
        Self { endpoint: "https://huggingface.co".to_owned(), token: None }
    }
}

impl HubConfig {
    /// The hub of `HF_ENDPOINT`, the token of `HF_TOKEN`; the defaults where they are not set.
    pub fn from_env() -> Self {
        let set =
            |name| std::env::var(name).ok().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let default = Self::default();
        Self { endpoint: set("HF_ENDPOINT").unwrap_or(default.endpoint), token: set("HF_TOKEN").map(Secret::new) }
    }
}

/// Files of Hugging Face hubs. A resolved file is pinned to the commit that the hub named.
#[derive(Clone)]
pub struct HuggingFaceSource {
    client: WebClient,
    endpoint: Url,
    token: Option<Credentials>,
}

impl HuggingFaceSource {
    /// A source with its own connections.
    ///
    /// # Errors
    /// [`WebError`] where the HTTP client cannot be set up or the hub's address is none.
    pub fn new(web: &WebConfig, hub: HubConfig) -> Result<Self, WebError> {
        let endpoint = Url::parse(&hub.endpoint).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let endpoint = endpoint.ok_or(WebError::Endpoint(hub.endpoint))?;
        let token = hub.token.map(|value| Credentials { kind: Default::default(), value });
        Ok(Self { client: WebClient::new(web)?, endpoint, token })
    }

    fn repository(
        &self,
        url: &HuggingFaceUrl,
        credentials: Option<&Credentials>,
    ) -> Result<Repository<'_>, SourceError> {
        let (endpoint, fallback) = match &url.host {
            None => (self.endpoint.clone(), self.token.as_ref()),
            Some(host) => {
                let scheme = if is_loopback(host) { "http" } else { "https" };
                let missing = |_| SourceError::NotFound { what: format!("a hub at {host}") };
                (Url::parse(&format!("{scheme}://{host}")).map_err(missing)?, None)
            }
        };
        Ok(Repository {
            client: &self.client,
            endpoint,
            name: url.repo.clone(),
            authorization: web::authorization(credentials.or(fallback)),
        })
    }
}

#[async_trait]
impl ModelSource for HuggingFaceSource {
    fn serves(&self, url: &ModelUrl) -> bool {
        matches!(url, ModelUrl::HuggingFace(_))
    }

    async fn resolve(&self, url: &ModelUrl, credentials: Option<&Credentials>) -> Result<Manifest, SourceError> {
        let ModelUrl::HuggingFace(parsed) = url else {
            return Err(SourceError::Unsupported { scheme: url.scheme().to_owned() });
        };
        let repository = self.repository(parsed, credentials)?;
        let mut revision = parsed.revision.clone().unwrap_or_else(|| "main".to_owned());
        let paths = match &parsed.selector {
            HuggingFaceFile::Path(path) => {
                let (folder, name) = path.rsplit_once('/').map_or(("", path.as_str()), |(folder, name)| (folder, name));
                let within = |name| if folder.is_empty() { name } else { format!("{folder}/{name}") };
                split::all_of(name).into_iter().map(within).collect::<Vec<_>>()
            }
            HuggingFaceFile::Quantisation(wanted) => {
                let listing = repository.list(&revision).await?;
                revision = listing.commit;
                quantisation::pick(&listing.files, wanted).map_err(|offered| SourceError::NotFound {
                    what: format!("a GGUF of quantisation {wanted} in {} (it offers {offered})", parsed.repo),
                })?
            }
        };
        let mut files = Vec::new();
        // The first file's commit pins those of its siblings.
        if let Some((first, others)) = paths.split_first() {
            let (file, commit) = repository.describe(&revision, first).await?;
            files.push(file);
            let commit = commit.unwrap_or(revision);
            let others = others.iter().map(|path| repository.describe(&commit, path)).collect::<Vec<_>>();
            let others: Vec<_> = stream::iter(others).buffered(PARALLEL).try_collect().await?;
            files.extend(others.into_iter().map(|(file, _)| file));
        }
        for file in &mut files {
            file.name = safe_name(&file.name);
            // The hub's own token goes with its own files alone; which ones those are must outlive this call.
            file.location = format!("{}{}", if parsed.host.is_none() { HOME } else { AWAY }, file.location);
        }
        Ok(Manifest { url: url.clone(), files })
    }

    async fn read(
        &self,
        file: &SourceFile,
        range: Range<u64>,
        credentials: Option<&Credentials>,
    ) -> Result<BoxStream<Result<Bytes, SourceError>>, SourceError> {
        let (url, fallback) = match file.location.strip_prefix(HOME) {
            Some(url) => (url, self.token.as_ref()),
            None => (file.location.strip_prefix(AWAY).unwrap_or(&file.location), None),
        };
        let what = web::shown(url);
        let authorization = web::authorization(credentials.or(fallback));
        // The mark of a hub's file is not the entity tag of the server that the hub sends the reader to; the commit in
        // its URL is what makes it the same file.
        let request = RangeRequest {
            url,
            what: &what,
            range,
            size: file.size,
            validator: None,
            authorization: authorization.as_ref(),
        };
        self.client.read(request).await
    }
}

const HOME: &str = "home ";
const AWAY: &str = "away ";

/// Plain http is for hubs on this machine.
fn is_loopback(host: &str) -> bool {
    match Url::parse(&format!("http://{host}")).ok().and_then(|url| url.host().map(|host| host.to_owned())) {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_spoken_to_in_plain() {
        for here in ["localhost", "localhost:1", "127.0.0.1:8080", "[::1]:80"] {
            assert!(is_loopback(here), "{here}");
        }
        for there in ["huggingface.co", "127.0.0.1.example.com", "10.0.0.1", "localhost.evil.com", ""] {
            assert!(!is_loopback(there), "{there}");
        }
    }

    #[test]
    fn an_endpoint_that_is_none_is_said() {
        let hub = HubConfig { endpoint: "huggingface".to_owned(), token: None };
        assert!(matches!(HuggingFaceSource::new(&WebConfig::default(), hub), Err(WebError::Endpoint(_))));
    }
}
