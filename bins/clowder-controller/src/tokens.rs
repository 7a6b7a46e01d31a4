//! `clowder-controller create-tokens`: the secrets of an installation, made once.

use crate::error::Error;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::{Api, Client};

/// The Secret that holds them.
const NAME: &str = "clowder-tokens";
/// What each opens: the operational API, /v1, workers, storage managers.
const KEYS: [&str; 4] = ["admin", "api", "worker", "storage"];

/// Makes the Secret `clowder-tokens` with random tokens, unless it is there
#[derive(Debug, clap::Args)]
pub(crate) struct CreateTokens {
    /// The namespace of the installation [default: the one this runs in]
    #[arg(long, value_name = "NAME", env = "CLOWDER_NAMESPACE")]
    namespace: Option<String>,
}

impl CreateTokens {
    /// Makes them; those that are there stay.
    pub(crate) async fn run(self) -> Result<(), Error> {
        let client = Client::try_default().await.map_err(Error::Config)?;
        let namespace = self.namespace.unwrap_or_else(|| client.default_namespace().to_owned());
        let secrets: Api<Secret> = Api::namespaced(client, &namespace);
        match secrets.create(&PostParams::default(), &tokens()).await {
            Ok(_) => tracing::info!(secret = NAME, namespace, "made"),
            Err(kube::Error::Api(status)) if status.is_already_exists() => {
                tracing::info!(secret = NAME, namespace, "is there already, and stays");
            }
            Err(error) => return Err(Error::cluster(format!("making the Secret {NAME}"))(error)),
        }
        Ok(())
    }
}

fn tokens() -> Secret {
    let labels = [("app.kubernetes.io/name", "clowder"), ("app.kubernetes.io/managed-by", "clowder")];
    let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let metadata = ObjectMeta { name: Some(NAME.to_owned()), labels: Some(labels.into()), ..ObjectMeta::default() };
    let tokens = KEYS.map(|key| (key.to_owned(), token()));
    Secret { metadata, string_data: Some(tokens.into()), type_: Some("Opaque".to_owned()), ..Secret::default() }
}

/// 256 random bits, in hexadecimal.
fn token() -> String {
    rand::random::<[u8; 32]>().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_is_its_own() {
        let tokens: Vec<String> = tokens().string_data.into_iter().flatten().map(|(_, token)| token).collect();
        assert_eq!(tokens.len(), KEYS.len());
        assert!(tokens.iter().all(|token| token.len() == 64));
        let different: std::collections::BTreeSet<&String> = tokens.iter().collect();
        assert_eq!(different.len(), KEYS.len());
    }
}
