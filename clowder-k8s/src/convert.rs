//! A [`Model`] as core's vocabulary.

use crate::model::{Engine, Model, Placement, SecretKeyReference};
use clowder_core::ModelSpec;
use clowder_core::model::{EngineSettings, InvalidModelName, PlacementRules};
use clowder_core::node::NodeName;
use clowder_core::secret::{Credentials, Secret};
use clowder_core::source::InvalidDigest;
use clowder_core::url::InvalidModelUrl;
use clowder_core::worker::InvalidWorkerId;

/// Why a [`Model`] asks for nothing that Clowder could do. Its user mends it in the resource.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidModel {
    /// Neither `spec.alias` nor the resource's own name is a model's name.
    #[error("{field}: {error}")]
    Name {
        /// The field that the name was taken from.
        field: &'static str,
        /// What is wrong with it.
        error: InvalidModelName,
    },
    /// `spec.source` is no model's URL.
    #[error("spec.source: {0}")]
    Source(InvalidModelUrl),
    /// `spec.digest` is no digest.
    #[error("spec.digest: {0}")]
    Digest(InvalidDigest),
    /// An entry of `spec.retire` is no worker's name.
    #[error("spec.retire: {0}")]
    Retire(InvalidWorkerId),
    /// `spec.credentials` refers to a value that there is not.
    #[error("spec.credentials: there is no Secret {secret:?} with a key {key:?} in the namespace of this model")]
    NoSecret {
        /// The Secret's name.
        secret: String,
        /// The key in it.
        key: String,
    },
}

impl Model {
    /// What this resource asks for. `secret` gives the value that `spec.credentials` refers to, `None` where there is no
    /// such value; it is called at most once.
    ///
    /// # Errors
    /// [`InvalidModel`], for the first thing that is wrong.
    pub fn desired(
        &self,
        secret: impl FnOnce(&SecretKeyReference) -> Option<Secret>,
    ) -> Result<ModelSpec, InvalidModel> {
        let (field, name) = match &self.spec.alias {
            Some(alias) => ("spec.alias", alias.as_str()),
            None => ("metadata.name", self.metadata.name.as_deref().unwrap_or_default()),
        };
        let name = name.parse().map_err(|error| InvalidModel::Name { field, error })?;
        let mut spec = ModelSpec::new(name, self.spec.source.parse().map_err(InvalidModel::Source)?);
        spec.digest = self.spec.digest.as_deref().map(str::parse).transpose().map_err(InvalidModel::Digest)?;
        if let Some(credentials) = &self.spec.credentials {
            let reference = &credentials.secret_key_ref;
            let value = secret(reference)
                .ok_or_else(|| InvalidModel::NoSecret { secret: reference.name.clone(), key: reference.key.clone() })?;
            spec.credentials = Some(Credentials { kind: credentials.kind, value });
        }
        spec.replicas = self.spec.replicas;
        spec.engine = EngineSettings::from(&self.spec.engine);
        spec.placement = PlacementRules::from(&self.spec.placement);
        let retire = self.spec.retire.iter().map(|id| id.parse());
        spec.retire = retire.collect::<Result<_, _>>().map_err(InvalidModel::Retire)?;
        Ok(spec)
    }
}

impl From<&Engine> for EngineSettings {
    fn from(engine: &Engine) -> Self {
        let Engine { context, slots, kv_type, threads, gpu_layers } = *engine;
        Self { context, slots, kv_type, threads, gpu_layers }
    }
}

impl From<&Placement> for PlacementRules {
    fn from(placement: &Placement) -> Self {
        Self {
            pinned: placement.pinned.iter().map(|node| NodeName::from(node.as_str())).collect(),
            selector: placement.selector.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CredentialsReference, Spec};
    use clowder_core::model::KvType;
    use clowder_core::secret::CredentialsKind;

    fn model(change: impl FnOnce(&mut Spec)) -> Model {
        let mut spec = Spec::new("builtin:kitten");
        change(&mut spec);
        Model::new("kitten", spec)
    }

    fn refused(change: impl FnOnce(&mut Spec)) -> InvalidModel {
        model(change).desired(|_| None).unwrap_err()
    }

    fn token() -> Option<CredentialsReference> {
        let secret_key_ref = SecretKeyReference { name: "hub".into(), key: "token".into() };
        Some(CredentialsReference { kind: CredentialsKind::Basic, secret_key_ref })
    }

    #[test]
    fn the_least_resource_is_one_replica_of_its_source() {
        let desired = model(|_| ()).desired(|_| panic!("it names no secret")).unwrap();
        assert_eq!(desired, ModelSpec::new("kitten".parse().unwrap(), "builtin:kitten".parse().unwrap()));
    }

    #[test]
    fn every_field_of_the_resource_reaches_core() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        let model = model(|spec| {
            spec.alias = Some("Org/Kitten:Q8".into());
            spec.digest = Some(digest.clone());
            spec.credentials = token();
            spec.replicas = 3;
            spec.engine = Engine {
                context: Some(4096),
                slots: Some(2),
                kv_type: KvType::Q8_0,
                threads: Some(8),
                gpu_layers: Some(0),
            };
            spec.placement.pinned = vec!["sled-1".into()];
            spec.placement.selector = [("disk".into(), "fast".into())].into();
            spec.retire = vec!["kitten-00000000-1".into()];
        });
        let desired = model.desired(|reference| (reference.key == "token").then(|| Secret::new("dTpw"))).unwrap();
        let expected = ModelSpec {
            name: "Org/Kitten:Q8".parse().unwrap(),
            source: "builtin:kitten".parse().unwrap(),
            digest: Some(digest.parse().unwrap()),
            credentials: Some(Credentials { kind: CredentialsKind::Basic, value: Secret::new("dTpw") }),
            replicas: 3,
            engine: EngineSettings {
                context: Some(4096),
                slots: Some(2),
                kv_type: KvType::Q8_0,
                threads: Some(8),
                gpu_layers: Some(0),
            },
            placement: PlacementRules {
                pinned: vec!["sled-1".into()],
                selector: [("disk".into(), "fast".into())].into(),
            },
            retire: vec!["kitten-00000000-1".parse().unwrap()],
        };
        assert_eq!(desired, expected);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_field() {
        let told = [
            (refused(|spec| spec.alias = Some("-x".into())), "spec.alias: model name \"-x\""),
            (refused(|spec| spec.source = "kitten".into()), "spec.source: \"kitten\" has no scheme"),
            (refused(|spec| spec.digest = Some("md5:0".into())), "spec.digest: \"md5:0\" is no digest"),
            (refused(|spec| spec.retire = vec!["A".into()]), "spec.retire: worker name \"A\""),
            (refused(|spec| spec.credentials = token()), "spec.credentials: there is no Secret \"hub\""),
        ];
        for (error, beginning) in told {
            assert!(error.to_string().starts_with(beginning), "{error}");
        }
        let long = Model::new(&"m".repeat(64), Spec::new("builtin:kitten")).desired(|_| None).unwrap_err();
        assert!(long.to_string().starts_with("metadata.name: "), "{long}");
    }
}
