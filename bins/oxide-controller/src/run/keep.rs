//! Brings the cluster up and keeps it as it should be, until it is told to end or the cluster does so itself.

use super::Program;
use crate::api::{self, Api};
use crate::error::Error;
use crate::pivot::{Luggage, pivot};
use crate::settings::WORKERS;
use clowder_oxide::ClusterStatus;
use std::future::{Future, pending};
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

impl Program {
    /// Runs until SIGTERM, or until the controller has moved into the cluster.
    pub(super) async fn keep(&self) -> Result<(), Error> {
        let stopped = stopped()?;
        let listener = api::listen(&self.typed.flags.controller.address).await?;
        let servers = self.servers().await?;
        let state = self.state()?;
        let secrets = self.secrets(&state, &servers).await?;
        if !self.is_in_cluster() {
            let place = self.settings.kubeconfig.as_ref().ok_or(Error::NoKubeconfig)?;
            place.check(secrets.server_ca())?;
        }
        let token = state.token()?;
        let reconciler = self.reconciler(secrets.clone(), Arc::new(self.sizes(state.clone())));
        let (server_told, server) = watch::channel(None);
        let status = reconciler.status();
        let api = Api { infra: Arc::new(reconciler.infra()), workers: WORKERS.into(), status: status.clone(), server };
        if let Ok(address) = listener.local_addr() {
            tracing::info!("the REST API is at http://{address}; its token is in {}", state.folder().display());
        }
        let serving = axum::serve(listener, api::router(api, token)).into_future();
        let _serving = AbortOnDropHandle::new(tokio::spawn(serving));
        let goes_on = async {
            self.connect(&secrets, &state, &server_told).await?;
            Box::pin(self.move_in(status)).await
        };
        tokio::select! {
            error = reconciler.run() => Err(error.into()),
            outcome = goes_on => outcome,
            () = stopped => Ok(()),
        }
    }

    /// Moves into the cluster once all of it is there; returns when the controller runs there, and never where it stays.
    async fn move_in(&self, mut status: watch::Receiver<ClusterStatus>) -> Result<(), Error> {
        let controller = &self.typed.flags.controller;
        if self.is_in_cluster() || controller.no_pivot.is_on() {
            return pending().await;
        }
        let Some(image) = &controller.controller_oci_image else {
            tracing::info!(
                "this process keeps the cluster from now on: with --controller-oci-image it would move into the cluster"
            );
            return pending().await;
        };
        // The sender lives as long as the reconcile, which runs beside this.
        if status.wait_for(|status| status.settled).await.is_err() {
            return pending().await;
        }
        tracing::info!("moving into the cluster, namespace {}", self.kept.namespace);
        let luggage = self.luggage()?;
        let client = self.access.client().map_err(Error::Keeping)?;
        self.kept.write_luggage(&client, &luggage.files()).await.map_err(Error::Keeping)?;
        Box::pin(pivot(&self.access, &self.kept, image, &luggage, &self.typed)).await?;
        tracing::info!("the controller runs in the cluster: this one ends");
        Ok(())
    }

    fn luggage(&self) -> Result<Luggage, Error> {
        let pools = match &self.typed.flags.worker.pools {
            Some(path) => Some(std::fs::read_to_string(path).map_err(Error::starting("reading the pools"))?),
            None => None,
        };
        let settings = &self.settings;
        Ok(Luggage {
            url: settings.login.url.as_str().trim_end_matches('/').to_owned(),
            token: settings.login.token.clone(),
            tailscale_key: settings.tailnet.as_ref().map(|tailnet| tailnet.machines.auth_key.clone()),
            ssh_key: settings.ssh_keys.first().cloned(),
            pools,
        })
    }
}

/// Ends with the first SIGTERM or SIGINT.
fn stopped() -> Result<impl Future<Output = ()>, Error> {
    let listen = |kind| signal(kind).map_err(Error::starting("listening for signals"));
    let (mut terminated, mut interrupted) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = interrupted.recv() => {}
        }
        tracing::info!("stopping; run this again to go on");
    })
}
