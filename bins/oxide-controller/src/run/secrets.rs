//! The cluster's secrets: found, restored, or made before its first machine.

use super::Program;
use crate::cluster::Kept;
use crate::error::Error;
use crate::state::{SECRETS, State};
use clowder_k8s::call::CallError;
use clowder_oxide::SeenServers;
use clowder_oxide::bootstrap::ClusterSecrets;

impl Program {
    /// The secrets of the cluster. Those of one that has servers are never made anew: its machines know the old ones.
    pub(super) async fn secrets(&self, state: &State, servers: &SeenServers) -> Result<ClusterSecrets, Error> {
        let found = state.secrets()?;
        let (cluster, folder) = (self.settings.id().clone(), state.folder().to_owned());
        match (found, servers.names.is_empty()) {
            (Some(secrets), false) => Ok(secrets),
            (Some(secrets), true) if self.is_in_cluster() => Ok(secrets),
            (Some(secrets), true) => {
                // Nothing is left of what the cluster kept.
                state.keep_sizes(&self.asked())?;
                Ok(secrets)
            }
            (None, _) if self.is_in_cluster() => Err(Error::NotMounted { cluster, folder }),
            (None, true) => {
                let secrets = state.make_secrets()?;
                state.keep_sizes(&self.asked())?;
                tracing::info!("made the cluster's secrets: they are in {}", folder.display());
                Ok(secrets)
            }
            (None, false) => match self.restore(state).await {
                Ok(Some(secrets)) => Ok(secrets),
                Ok(None) => Err(Error::Lost { cluster, folder }),
                Err(error) => {
                    tracing::warn!(error = clowder_core::chain(&error), "the cluster's own copy cannot be had");
                    Err(Error::Lost { cluster, folder })
                }
            },
        }
    }

    /// The secrets as the cluster keeps them, by way of a kubeconfig that somebody has.
    async fn restore(&self, state: &State) -> Result<Option<ClusterSecrets>, Error> {
        let Some(place) = &self.settings.kubeconfig else { return Ok(None) };
        let Some(kubeconfig) = place.read()? else { return Ok(None) };
        self.access.open(&kubeconfig).await?;
        let Kept { namespace, name } = &self.kept;
        let client = self.access.client().map_err(Error::Keeping)?;
        let found = self.kept.read(&client).await.map_err(|error: CallError| Error::Keeping(error))?;
        let Some(files) = found.filter(|files| files.contains_key(SECRETS)) else { return Ok(None) };
        state.restore(&files)?;
        tracing::info!("restored the cluster's secrets from its Secret {namespace}/{name}");
        Ok(state.secrets()?)
    }
}
