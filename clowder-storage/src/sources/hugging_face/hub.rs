//! The hub's interface: a repository's list of files, and the headers that describe one.

use crate::sources::web::{self, Redirects, WebClient};
use clowder_core::secret::Secret;
use clowder_core::source::{Digest, SourceError, SourceFile};
use reqwest::header::{ETAG, HeaderMap};
use reqwest::{Method, Response, StatusCode};
use serde::Deserialize;
use url::Url;

/// The longest listing read, in bytes: some hundred thousand files.
const LONGEST_LISTING: usize = 32 << 20;

/// One repository of one hub, as one reader.
pub(super) struct Repository<'a> {
    pub(super) client: &'a WebClient,
    pub(super) endpoint: Url,
    /// `OWNER/REPO`.
    pub(super) name: String,
    pub(super) authorization: Option<Secret>,
}

/// The files of a repository at a commit.
pub(super) struct Listing {
    pub(super) commit: String,
    pub(super) files: Vec<String>,
}

impl Repository<'_> {
    /// `GET /api/models/OWNER/REPO/revision/REVISION`
    pub(super) async fn list(&self, revision: &str) -> Result<Listing, SourceError> {
        #[derive(Deserialize)]
        struct Answer {
            sha: String,
            #[serde(default)]
            siblings: Vec<Sibling>,
        }
        #[derive(Deserialize)]
        struct Sibling {
            rfilename: String,
        }
        let what = format!("the repository {} at {revision}", self.name);
        let url = self.address(&["api", "models"], &[self.name.as_str()], "revision", revision, "");
        let get = self.client.request(Method::GET, url.as_str(), Redirects::Stay, self.authorization.as_ref());
        let response = get.send().await.map_err(|error| web::unreachable(&what, error))?;
        let response = self.checked(&what, response)?;
        let body = web::bounded(&what, response, LONGEST_LISTING).await?;
        let answer: Answer = serde_json::from_slice(&body)
            .map_err(|error| SourceError::Unreachable { what: what.clone(), source: error.into() })?;
        let files = answer.siblings.into_iter().map(|file| file.rfilename);
        // A name that climbs has no place in a URL.
        let files = files.filter(|name| !name.split('/').any(|part| matches!(part, "" | "." | "..")));
        Ok(Listing { commit: answer.sha, files: files.collect() })
    }

    /// `HEAD /OWNER/REPO/resolve/REVISION/PATH`: the file, and the commit it is of.
    pub(super) async fn describe(
        &self,
        revision: &str,
        path: &str,
    ) -> Result<(SourceFile, Option<String>), SourceError> {
        let what = format!("{path} of {} at {revision}", self.name);
        let url = self.address(&[], &[self.name.as_str()], "resolve", revision, path);
        let head = self.client.request(Method::HEAD, url.as_str(), Redirects::Stay, self.authorization.as_ref());
        let response = head.send().await.map_err(|error| web::unreachable(&what, error))?;
        let elsewhere = response.status().is_redirection();
        let response = if elsewhere { response } else { self.checked(&what, response)? };
        let headers = response.headers();
        let linked = text(headers, "x-linked-etag");
        let etag = linked.clone().or_else(|| text(headers, ETAG.as_str())).map(|etag| bare(&etag));
        let own_length = (!elsewhere).then(|| web::length_of(headers)).flatten();
        let size = text(headers, "x-linked-size").and_then(|size| size.parse().ok()).or(own_length);
        let commit = text(headers, "x-repo-commit").filter(|commit| is_commit(commit));
        let pinned = self.address(&[], &[self.name.as_str()], "resolve", commit.as_deref().unwrap_or(revision), path);
        let file = SourceFile {
            name: path.rsplit('/').next().unwrap_or(path).to_owned(),
            location: pinned.into(),
            size,
            // The tag of a large file is its SHA-256; that of a small one is git's SHA-1 of the blob, which is no digest.
            digest: linked.and_then(|etag| format!("sha256:{}", bare(&etag)).parse::<Digest>().ok()),
            etag,
        };
        Ok((file, commit))
    }

    fn address(&self, prefix: &[&str], name: &[&str], verb: &str, revision: &str, path: &str) -> Url {
        let mut url = self.endpoint.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(prefix);
            segments.extend(name.iter().flat_map(|name| name.split('/')));
            // The revision is one segment, its slashes encoded; those of the path are the path's.
            segments.push(verb).push(revision);
            segments.extend(path.split('/').filter(|part| !part.is_empty()));
        }
        url
    }

    /// A hub says in `X-Error-Code` what its status means.
    fn checked(&self, what: &str, response: Response) -> Result<Response, SourceError> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let home = format!("{}{}", self.endpoint, self.name);
        let denied = |hint| Err(SourceError::Denied { what: what.to_owned(), hint });
        let code = text(response.headers(), "x-error-code");
        match (status, code.as_deref(), self.authorization.is_some()) {
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, Some("GatedRepo"), false) => denied(format!(
                "accept its terms at {home}, then give a token of that account as credentials or in HF_TOKEN"
            )),
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, Some("GatedRepo"), true) => {
                denied(format!("the token's account has not been let in yet: ask at {home}"))
            }
            (StatusCode::UNAUTHORIZED, Some("RepoNotFound"), false) => denied(
                "it does not exist or is private: check the name, or give a token as credentials or in HF_TOKEN"
                    .to_owned(),
            ),
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _, false) => {
                denied("the hub asks for a token: give one as credentials or in HF_TOKEN".to_owned())
            }
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _, true) => {
                denied("the hub refused the token: check that it is valid and may read this repository".to_owned())
            }
            _ => Err(web::refused(what, status, response.headers(), self.authorization.is_some())),
        }
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.trim().to_owned())
}

/// An entity tag without its quotes and weakness.
fn bare(etag: &str) -> String {
    etag.trim_start_matches("W/").trim_matches('"').to_owned()
}

fn is_commit(text: &str) -> bool {
    (7..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
