//! `file:///PATH` where it means nothing: a cluster has many machines, and its Pods see none of their folders.

use async_trait::async_trait;
use bytes::Bytes;
use clowder_core::BoxStream;
use clowder_core::secret::Credentials;
use clowder_core::source::{Manifest, ModelSource, SourceError, SourceFile};
use clowder_core::url::ModelUrl;
use std::ops::Range;

/// Refuses every file, and says what to use instead.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFileSource;

fn refused(what: String) -> SourceError {
    let hint =
        "a cluster sees no file of a machine; put the model on a web server (https://) or a hub (hf://)".to_owned();
    SourceError::Unusable { what, hint }
}

#[async_trait]
impl ModelSource for NoFileSource {
    fn serves(&self, url: &ModelUrl) -> bool {
        matches!(url, ModelUrl::File(_))
    }

    async fn resolve(&self, url: &ModelUrl, _: Option<&Credentials>) -> Result<Manifest, SourceError> {
        Err(refused(url.to_string()))
    }

    async fn read(
        &self,
        file: &SourceFile,
        _: Range<u64>,
        _: Option<&Credentials>,
    ) -> Result<BoxStream<Result<Bytes, SourceError>>, SourceError> {
        Err(refused(file.name.clone()))
    }
}

#[cfg(test)]
mod tests {
    use crate::Sources;
    use crate::sources::{HubConfig, WebConfig};
    use clowder_core::source::{ModelSource, SourceError};

    #[tokio::test]
    async fn a_file_is_refused_in_words_and_for_good() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let url = format!("file://{}", file.path().display()).parse().unwrap();
        let sources = Sources::of_cluster(&WebConfig::default(), HubConfig::default()).unwrap();
        let refused = sources.resolve(&url, None).await.unwrap_err();
        assert!(matches!(refused, SourceError::Unusable { .. }) && !refused.is_transient());
        assert!(refused.to_string().starts_with(&format!("{url} cannot be used here")), "{refused}");
        assert!(refused.to_string().contains("hf://"), "{refused}");
        assert!(sources.serves(&"https://example.com/m.gguf".parse().unwrap()));
    }
}
