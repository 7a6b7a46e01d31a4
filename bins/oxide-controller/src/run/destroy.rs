//! Takes the cluster down: all that is marked as its own, and nothing else.

use super::Program;
use crate::error::Error;
use clowder_oxide::tear_down;

impl Program {
    /// Deletes what belongs to the cluster on the rack, then what is kept of it here.
    pub(super) async fn destroy(&self) -> Result<(), Error> {
        self.servers().await?;
        let state = self.state()?;
        let limits = &self.settings.limits;
        let taken = tear_down(&self.rack, &self.settings.cluster, limits, |removal| tracing::info!("{removal}: done"));
        let steps = taken.await?;
        if steps == 0 {
            // Its secrets may be those of a cluster in another project.
            let (id, folder) = (self.settings.id(), state.folder().display());
            tracing::warn!(
                "there is nothing of cluster {id} in this project: {folder} stays, delete it if it is of no use"
            );
            return Ok(());
        }
        if let (Some(place), Some(secrets)) = (&self.settings.kubeconfig, state.secrets()?) {
            place.remove_own(secrets.server_ca())?;
        }
        state.remove()?;
        tracing::info!("cluster {} is no more: it took {steps} steps", self.settings.id());
        Ok(())
    }
}
