//! `builtin:NAME`: models that the program carries.

use super::safe_name;
use async_trait::async_trait;
use bytes::Bytes;
use clowder_core::BoxStream;
use clowder_core::secret::Credentials;
use clowder_core::source::{Digest, Manifest, ModelSource, SourceError, SourceFile};
use clowder_core::url::ModelUrl;
use futures::{StreamExt, stream};
use sha2::{Digest as _, Sha256};
use std::ops::Range;
use std::sync::OnceLock;

const CHUNK: usize = 1 << 20;

/// Models in the program's own binary. This crate carries none: the program that does names them here.
pub struct BuiltinSource {
    models: Vec<Model>,
}

struct Model {
    name: &'static str,
    bytes: &'static [u8],
    digest: OnceLock<Digest>,
}

impl BuiltinSource {
    /// The models by name, as in `builtin:NAME`.
    pub fn new(models: impl IntoIterator<Item = (&'static str, &'static [u8])>) -> Self {
        let models = models.into_iter().map(|(name, bytes)| Model { name, bytes, digest: OnceLock::new() });
        Self { models: models.collect() }
    }

    fn find(&self, name: &str) -> Result<&Model, SourceError> {
        let missing = || SourceError::NotFound { what: format!("builtin:{name}") };
        self.models.iter().find(|model| model.name == name).ok_or_else(missing)
    }
}

impl Model {
    fn digest(&self) -> Digest {
        *self.digest.get_or_init(|| Digest::from_bytes(Sha256::digest(self.bytes).into()))
    }
}

#[async_trait]
impl ModelSource for BuiltinSource {
    fn serves(&self, url: &ModelUrl) -> bool {
        matches!(url, ModelUrl::Builtin(_))
    }

    async fn resolve(&self, url: &ModelUrl, _: Option<&Credentials>) -> Result<Manifest, SourceError> {
        let ModelUrl::Builtin(name) = url else {
            return Err(SourceError::Unsupported { scheme: url.scheme().to_owned() });
        };
        let model = self.find(name)?;
        let digest = model.digest();
        let file = SourceFile {
            name: safe_name(&format!("{name}.gguf")),
            location: name.clone(),
            size: Some(model.bytes.len() as u64),
            digest: Some(digest),
            etag: Some(digest.to_string()),
        };
        Ok(Manifest { url: url.clone(), files: vec![file] })
    }

    async fn read(
        &self,
        file: &SourceFile,
        range: Range<u64>,
        _: Option<&Credentials>,
    ) -> Result<BoxStream<Result<Bytes, SourceError>>, SourceError> {
        let bytes = self.find(&file.location)?.bytes;
        let clamp = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
        let wanted = bytes.get(clamp(range.start)..clamp(range.end)).unwrap_or_default();
        Ok(stream::iter(wanted.chunks(CHUNK).map(|chunk| Ok(Bytes::from_static(chunk)))).boxed())
    }
}
