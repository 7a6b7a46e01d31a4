//! `/content/`: the models.

use super::error::ApiError;
use crate::cache::{Cache, Entry};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use clowder_core::secret::{Credentials, CredentialsKind, Secret};
use clowder_core::source::Digest;
use clowder_core::store::{FetchProgress, FetchRequest, StoredModel};
use clowder_core::url::ModelUrl;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use tokio::sync::watch;

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_allow_trailing_bits(true)
    .with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, LENIENT);

/// A model, as told over the API.
#[derive(Serialize)]
struct Content {
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<Digest>,
    complete: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<Progress>,
}

#[derive(Serialize)]
struct Progress {
    #[serde(flatten)]
    fetch: FetchProgress,
    #[serde(skip_serializing_if = "Option::is_none")]
    eta_seconds: Option<u64>,
}

impl Content {
    /// `url` as the caller wrote it.
    fn new(url: String, entry: Entry) -> Self {
        let Entry { complete, path, digest, bytes, total, rate, .. } = entry;
        let fetch = FetchProgress { bytes, total, rate };
        let progress = (!complete).then(|| Progress { eta_seconds: fetch.eta_seconds(), fetch });
        Self { url, digest, complete, path, progress }
    }
}

pub(super) async fn list(State(cache): State<Cache>) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct List {
        count: usize,
        content: Vec<Entry>,
    }
    let content = cache.list().await?;
    Ok(Json(List { count: content.len(), content }).into_response())
}

pub(super) async fn find(State(cache): State<Cache>, Path(name): Path<String>) -> Result<Response, ApiError> {
    let (text, url) = decode(&name)?;
    let Some(entry) = cache.find(&url).await? else { return Err(ApiError::Absent { url: text }) };
    let status = if entry.complete { StatusCode::OK } else { StatusCode::PARTIAL_CONTENT };
    Ok((status, Json(Content::new(text, entry))).into_response())
}

pub(super) async fn fetch(State(cache): State<Cache>, body: Bytes) -> Result<Response, ApiError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Wanted {
        url: String,
        credentials: Option<String>,
        credentials_type: Option<CredentialsKind>,
        digest: Option<Digest>,
    }
    #[derive(Serialize)]
    struct Fetched {
        url: String,
        digest: Digest,
        bytes: u64,
        path: PathBuf,
        /// What the caller locks shared as long as it uses the model: this process holds it no longer than its answer takes.
        #[serde(skip_serializing_if = "Option::is_none")]
        hold: Option<PathBuf>,
    }
    let wanted: Wanted = serde_json::from_slice(&body).map_err(ApiError::Body)?;
    let credentials = wanted
        .credentials
        .filter(|value| !value.is_empty())
        .map(|value| Credentials { kind: wanted.credentials_type.unwrap_or_default(), value: Secret::new(value) });
    let request = FetchRequest { url: wanted.url.parse()?, digest: wanted.digest, credentials };
    let stored = cache.pull(request, watch::channel(FetchProgress::default()).0).await?;
    let StoredModel { path, digest, bytes, hold, lease: _lease } = stored;
    let fetched = Fetched { url: wanted.url, digest, bytes, path, hold };
    Ok((StatusCode::CREATED, Json(fetched)).into_response())
}

pub(super) async fn remove(State(cache): State<Cache>, Path(name): Path<String>) -> Result<StatusCode, ApiError> {
    let (_, url) = decode(&name)?;
    cache.forget(&url).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The URL as written, and as understood.
fn decode(name: &str) -> Result<(String, ModelUrl), ApiError> {
    let url_safe = name.replace('+', "-").replace('/', "_");
    let bytes = BASE64.decode(url_safe).map_err(|_| ApiError::NotBase64)?;
    let text = String::from_utf8(bytes).map_err(|_| ApiError::NotBase64)?;
    let url = text.parse()?;
    Ok((text, url))
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_spelling_of_base64_is_read(path in "[a-z?~>/]{1,40}") {
            let url = format!("file:///{path}x");
            for engine in [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD] {
                let (text, _) = decode(&engine.encode(&url)).unwrap();
                prop_assert_eq!(&text, &url);
            }
        }

        #[test]
        fn what_is_no_base64_is_refused_without_panic(name in ".{0,60}") {
            decode(&name).ok();
        }
    }
}
