//! The documents of an OCI image layout, as far as a cache of models writes and reads them.
//!
//! A model is a manifest of the CNCF ModelPack form: one layer for each file, its name in an annotation.

use clowder_core::source::Digest;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const MODEL: &str = "application/vnd.cncf.model.manifest.v1+json";
const WEIGHTS: &str = "application/vnd.cncf.model.weight.v1.raw";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const FILE_NAME: &str = "org.cncf.model.filepath";
/// The annotation that carries a name, here the model's URL.
pub(super) const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// The empty configuration that stands where an image has its own.
pub(super) const EMPTY_CONFIG: &[u8] = b"{}";
const EMPTY_CONFIG_DIGEST: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

/// `index.json`. Entries of other tools, and members unknown here, are kept as they are.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Index {
    pub(super) schema_version: u32,
    #[serde(default)]
    pub(super) manifests: Vec<Descriptor>,
    #[serde(flatten)]
    pub(super) others: Map<String, Value>,
}

impl Default for Index {
    fn default() -> Self {
        let others = Map::from_iter([("mediaType".to_owned(), Value::from(INDEX))]);
        Self { schema_version: 2, manifests: Vec::new(), others }
    }
}

/// A reference to a blob.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    pub(super) media_type: String,
    pub(super) digest: String,
    pub(super) size: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) annotations: BTreeMap<String, String>,
    #[serde(flatten)]
    pub(super) others: Map<String, Value>,
}

impl Descriptor {
    pub(super) fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        let (media_type, digest) = (media_type.to_owned(), digest.to_string());
        Self { media_type, digest, size, annotations: BTreeMap::new(), others: Map::new() }
    }

    pub(super) fn annotated(mut self, name: &str, value: impl Into<String>) -> Self {
        self.annotations.insert(name.to_owned(), value.into());
        self
    }

    pub(super) fn name(&self) -> Option<&str> {
        self.annotations.get(REF_NAME).map(String::as_str)
    }
}

/// A manifest; of another tool's only what its blobs are is of interest.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    pub(super) schema_version: u32,
    #[serde(default)]
    pub(super) media_type: String,
    #[serde(default)]
    pub(super) artifact_type: String,
    pub(super) config: Descriptor,
    #[serde(default)]
    pub(super) layers: Vec<Descriptor>,
    #[serde(default)]
    pub(super) annotations: BTreeMap<String, String>,
}

/// A file of a model, verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StoredFile {
    /// Its name, without folders.
    pub name: String,
    /// What it hashes to.
    pub digest: Digest,
    /// Its bytes.
    pub size: u64,
}

impl Manifest {
    /// The manifest of a model with these files, the one a worker opens being the first.
    pub(super) fn of_model(url: &str, files: &[StoredFile]) -> Self {
        let layer =
            |file: &StoredFile| Descriptor::new(WEIGHTS, file.digest, file.size).annotated(FILE_NAME, &file.name);
        let config = Descriptor {
            media_type: EMPTY.to_owned(),
            digest: EMPTY_CONFIG_DIGEST.to_owned(),
            size: EMPTY_CONFIG.len() as u64,
            annotations: BTreeMap::new(),
            others: Map::new(),
        };
        Self {
            schema_version: 2,
            media_type: MANIFEST.to_owned(),
            artifact_type: MODEL.to_owned(),
            config,
            layers: files.iter().map(layer).collect(),
            // Without its index, a manifest still says whose it is.
            annotations: BTreeMap::from([(REF_NAME.to_owned(), url.to_owned())]),
        }
    }

    /// The files of a model that this cache wrote; `None` for what others put here.
    pub(super) fn files(&self) -> Option<Vec<StoredFile>> {
        let file = |layer: &Descriptor| {
            let name = crate::sources::safe_name(layer.annotations.get(FILE_NAME)?);
            Some(StoredFile { name, digest: layer.digest.parse().ok()?, size: layer.size })
        };
        let files: Vec<_> = self.layers.iter().map(file).collect::<Option<_>>()?;
        (self.artifact_type == MODEL && !files.is_empty()).then_some(files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest as _, Sha256};

    #[test]
    fn the_empty_configuration_hashes_to_its_digest() {
        let digest = Digest::from_bytes(Sha256::digest(EMPTY_CONFIG).into());
        assert_eq!(digest.to_string(), EMPTY_CONFIG_DIGEST);
    }

    #[test]
    fn what_other_tools_wrote_survives() {
        let text = r#"{"schemaVersion":2,"manifests":[{"mediaType":"x","digest":"sha512:00","size":1,"platform":{"os":"linux"}}],"annotations":{"a":"b"}}"#;
        let index: Index = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&index).unwrap(), text);
    }
}
