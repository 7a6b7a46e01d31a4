//! The way to the cluster: found as soon as there is one, and told to whoever runs this.

use super::Program;
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::kubeconfig::Outcome;
use crate::state::State;
use clowder_core::{Secret, chain};
use clowder_k8s::call::{CallError, call};
use clowder_oxide::bootstrap::ClusterSecrets;
use clowder_oxide::{ExternalIp, PoolSizes, SeenServers};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;
use url::Url;

/// Between two looks for a way.
const PAUSE: Duration = Duration::from_secs(5);

impl Program {
    /// Opens the way to the cluster where its address is known, and says where that is.
    pub(super) async fn open(&self, secrets: &ClusterSecrets, servers: &SeenServers) -> Result<Option<Url>, Error> {
        if self.is_in_cluster() {
            return Ok(None);
        }
        let floating = self.settings.cluster.spec().servers.external_ip != ExternalIp::None;
        let endpoint = Endpoint { tailnet: self.settings.tailnet.as_ref(), floating };
        let Some(url) = endpoint.find(servers).await? else { return Ok(None) };
        let kubeconfig = self.kubeconfig(secrets, &url)?;
        self.access.open(&kubeconfig).await?;
        Ok(Some(url))
    }

    fn kubeconfig(&self, secrets: &ClusterSecrets, url: &Url) -> Result<Secret, Error> {
        Ok(Secret::new(secrets.kubeconfig(self.settings.id().as_str(), url)?.expose()))
    }

    /// Looks for the cluster until it answers; then it has the kubeconfig written, and the cluster keep what must not be lost.
    pub(super) async fn connect(
        &self,
        secrets: &ClusterSecrets,
        state: &State,
        told: &watch::Sender<Option<Url>>,
    ) -> Result<(), Error> {
        let mut way = self.known(secrets).await?;
        loop {
            if way.is_none() {
                way = self.find(secrets).await?;
            }
            match self.answers().await {
                Ok(()) => match self.hand_over(state).await {
                    // One that has just come up may not be up to everything.
                    Err(Error::Keeping(error)) if error.is_transient() => {
                        tracing::debug!("the cluster does not keep anything yet: {error}");
                    }
                    Err(Error::Workers(error)) => {
                        tracing::warn!("the number of workers is not recorded yet: {}", chain(error.as_ref()));
                    }
                    outcome => {
                        outcome?;
                        break;
                    }
                },
                Err(error) => tracing::debug!("the cluster does not answer yet: {error}"),
            }
            sleep(PAUSE).await;
        }
        if let Some(url) = way {
            told.send_replace(Some(url.clone()));
            self.write_kubeconfig(secrets, &url)?;
        }
        Ok(())
    }

    /// Has the cluster keep what must not be lost.
    async fn hand_over(&self, state: &State) -> Result<(), Error> {
        if !self.asked().is_empty() {
            self.record(state).await?;
        }
        if self.is_in_cluster() {
            return Ok(());
        }
        let client = self.access.client().map_err(Error::Keeping)?;
        self.kept.write_state(&client, &state.files()?).await.map_err(Error::Keeping)
    }

    /// Where the cluster was when its kubeconfig was written, if it answers there. Nobody is asked where it is then, and no
    /// tailnet's key is used but once.
    pub(super) async fn known(&self, secrets: &ClusterSecrets) -> Result<Option<Url>, Error> {
        let Some(place) = self.settings.kubeconfig.as_ref().filter(|_| !self.is_in_cluster()) else { return Ok(None) };
        let Some(url) = place.server(secrets.server_ca())? else { return Ok(None) };
        self.access.open(&self.kubeconfig(secrets, &url)?).await?;
        match self.answers().await {
            Ok(()) => Ok(Some(url)),
            Err(error) => {
                tracing::debug!("the cluster does not answer at {url} any more: {error}");
                Ok(None)
            }
        }
    }

    /// A rack or a tailnet that does not answer may do so soon; what it refuses, it refuses again.
    async fn find(&self, secrets: &ClusterSecrets) -> Result<Option<Url>, Error> {
        let found = match self.servers().await {
            Ok(servers) => self.open(secrets, &servers).await,
            Err(error) => Err(error),
        };
        match found {
            Err(Error::Rack(error)) if !error.is_for_a_person() => {
                tracing::debug!("the servers cannot be looked at: {}", chain(&error));
                Ok(None)
            }
            Err(Error::Tailnet(error)) if error.is_transient() => {
                tracing::debug!("the tailnet cannot be looked at: {}", chain(&error));
                Ok(None)
            }
            outcome => outcome,
        }
    }

    async fn answers(&self) -> Result<(), CallError> {
        call(self.access.client()?.apiserver_version()).await.map(drop)
    }

    /// Records the number of workers that the command line says.
    async fn record(&self, state: &State) -> Result<(), Error> {
        let sizes = self.sizes(state.clone());
        for (pool, machines) in self.asked() {
            sizes.save(&pool, machines).await.map_err(Error::Workers)?;
        }
        Ok(())
    }

    fn write_kubeconfig(&self, secrets: &ClusterSecrets, url: &Url) -> Result<(), Error> {
        let place = self.settings.kubeconfig.as_ref().ok_or(Error::NoKubeconfig)?;
        let server = url.as_str().trim_end_matches('/');
        let path = place.path.display();
        match place.write(secrets.server_ca(), server, &self.kubeconfig(secrets, url)?)? {
            Outcome::Written => tracing::info!("the cluster answers at {server}; its kubeconfig is {path}"),
            Outcome::Unchanged => tracing::info!("the cluster answers at {server}; its kubeconfig {path} is unchanged"),
            Outcome::Kept => tracing::warn!(
                "the cluster answers at {server}, and its kubeconfig {path} names another address: \
                 --kubeconfig-overwrite writes it anew"
            ),
        }
        Ok(())
    }
}
