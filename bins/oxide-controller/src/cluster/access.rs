//! How the cluster is reached.

use clowder_core::Secret;
use clowder_k8s::call::CallError;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use std::time::Duration;
use tokio::sync::watch;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);

/// The way to the cluster, once there is one. All that speak with the cluster share it.
pub(crate) struct Access(watch::Sender<Option<Client>>);

/// Why there is no way.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AccessError {
    #[error("the kubeconfig of the cluster is not usable")]
    Kubeconfig(#[source] kube::config::KubeconfigError),
    #[error("the Pod's own account cannot be used")]
    InCluster(#[source] kube::config::InClusterError),
    #[error("there can be no client of the cluster")]
    Client(#[source] kube::Error),
}

impl Access {
    /// One that is not known yet.
    pub(crate) fn none() -> Self {
        Self(watch::Sender::new(None))
    }

    /// That of a Pod in the cluster itself: its service account.
    pub(crate) fn in_cluster() -> Result<Self, AccessError> {
        let config = Config::incluster().map_err(AccessError::InCluster)?;
        Ok(Self(watch::Sender::new(Some(client(config)?))))
    }

    /// The way that a kubeconfig says, from now on.
    pub(crate) async fn open(&self, kubeconfig: &Secret) -> Result<(), AccessError> {
        let kubeconfig = Kubeconfig::from_yaml(kubeconfig.expose()).map_err(AccessError::Kubeconfig)?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
        self.0.send_replace(Some(client(config.map_err(AccessError::Kubeconfig)?)?));
        Ok(())
    }

    /// A client, if there is a way.
    pub(crate) fn client(&self) -> Result<Client, CallError> {
        self.0.borrow().clone().ok_or(CallError::NotYet)
    }
}

/// A client that goes to the cluster itself: a proxy of this machine's environment is for the rack and the internet, and the
/// cluster's addresses are private ones.
fn client(mut config: Config) -> Result<Client, AccessError> {
    config.proxy_url = None;
    config.connect_timeout = Some(CONNECT);
    Client::try_from(config).map_err(AccessError::Client)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn before_its_address_is_known_the_cluster_cannot_be_asked() {
        let access = Access::none();
        assert!(matches!(access.client(), Err(CallError::NotYet)));
        assert!(matches!(access.open(&Secret::new("clusters: 3")).await, Err(AccessError::Kubeconfig(_))));
        assert!(access.client().is_err());
    }
}
