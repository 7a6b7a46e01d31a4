//! The sources of models, and the router that picks one by URL.

pub mod builtin;
pub mod file;
pub mod http;
pub mod hugging_face;
pub mod no_file;
mod split;
pub mod web;

pub use builtin::BuiltinSource;
pub use file::FileSource;
pub use http::HttpSource;
pub use hugging_face::{HubConfig, HuggingFaceSource};
pub use no_file::NoFileSource;
pub use web::WebConfig;

use async_trait::async_trait;
use bytes::Bytes;
use clowder_core::BoxStream;
use clowder_core::secret::Credentials;
use clowder_core::source::{Manifest, ModelSource, SourceError, SourceFile};
use clowder_core::url::ModelUrl;
use std::ops::Range;
use std::sync::Arc;

/// Several sources as one: each URL goes to the first that serves it.
///
/// A file's location carries the number of the source that named it, so that [`read`](ModelSource::read) finds back.
#[derive(Clone, Default)]
pub struct Sources {
    sources: Vec<Arc<dyn ModelSource>>,
}

impl Sources {
    /// No source yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// `file://`, `http(s)://` and `hf://`.
    ///
    /// # Errors
    /// [`web::WebError`] where the machine has no usable TLS set-up, or the hub's address is none.
    pub fn standard(web: &WebConfig, hub: HubConfig) -> Result<Self, web::WebError> {
        Self::new().with(FileSource).with_web(web, hub)
    }

    /// `http(s)://` and `hf://`, for what runs on many machines; `file://` is refused in words.
    ///
    /// # Errors
    /// As [`standard`](Self::standard).
    pub fn of_cluster(web: &WebConfig, hub: HubConfig) -> Result<Self, web::WebError> {
        Self::new().with(NoFileSource).with_web(web, hub)
    }

    fn with_web(self, web: &WebConfig, hub: HubConfig) -> Result<Self, web::WebError> {
        Ok(self.with(HttpSource::new(web)?).with(HuggingFaceSource::new(web, hub)?))
    }

    /// Adds a source after the others.
    #[must_use]
    pub fn with(mut self, source: impl ModelSource + 'static) -> Self {
        self.sources.push(Arc::new(source));
        self
    }
}

#[async_trait]
impl ModelSource for Sources {
    fn serves(&self, url: &ModelUrl) -> bool {
        self.sources.iter().any(|source| source.serves(url))
    }

    async fn resolve(&self, url: &ModelUrl, credentials: Option<&Credentials>) -> Result<Manifest, SourceError> {
        let Some((number, source)) = self.sources.iter().enumerate().find(|(_, source)| source.serves(url)) else {
            return Err(SourceError::Unsupported { scheme: url.scheme().to_owned() });
        };
        let mut manifest = source.resolve(url, credentials).await?;
        for file in &mut manifest.files {
            file.location = format!("{number}!{}", file.location);
        }
        Ok(manifest)
    }

    async fn read(
        &self,
        file: &SourceFile,
        range: Range<u64>,
        credentials: Option<&Credentials>,
    ) -> Result<BoxStream<Result<Bytes, SourceError>>, SourceError> {
        let unknown = || SourceError::NotFound { what: file.name.clone() };
        let (number, location) = file.location.split_once('!').ok_or_else(unknown)?;
        let source = number.parse().ok().and_then(|number: usize| self.sources.get(number)).ok_or_else(unknown)?;
        let file = SourceFile { location: location.to_owned(), ..file.clone() };
        source.read(&file, range, credentials).await
    }
}

/// A file name that is safe as a part of a path: what a source calls its file, made harmless.
pub(crate) fn safe_name(name: &str) -> String {
    const LONGEST: usize = 200;
    let kept: String = name.chars().map(|c| if c.is_control() || matches!(c, '/' | '\\') { '_' } else { c }).collect();
    let start = kept.char_indices().rev().map(|(at, _)| at).take_while(|at| kept.len() - at <= LONGEST).last();
    match kept.get(start.unwrap_or(0)..).unwrap_or_default() {
        "" | "." | ".." => "model".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_folder() {
        assert_eq!(safe_name("m.gguf"), "m.gguf");
        assert_eq!(safe_name("../../etc/passwd"), ".._.._etc_passwd");
        assert_eq!(safe_name(".."), "model");
        assert_eq!(safe_name("a\0b"), "a_b");
        assert!(safe_name(&"ü".repeat(400)).len() <= 200);
        assert!(safe_name(&format!("{}.gguf", "x".repeat(400))).ends_with(".gguf"));
    }

    #[tokio::test]
    async fn each_url_goes_to_the_source_that_serves_it() {
        let sources = Sources::new().with(BuiltinSource::new([("one", b"1".as_slice())])).with(FileSource);
        assert!(sources.serves(&"builtin:one".parse().unwrap()));
        let url = "s3:bucket/key".parse().unwrap();
        assert!(!sources.serves(&url));
        let refused = sources.resolve(&url, None).await.unwrap_err();
        assert!(matches!(refused, SourceError::Unsupported { scheme } if scheme == "s3"));
    }
}
