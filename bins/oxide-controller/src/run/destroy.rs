//! Takes the cluster down: all that is marked as its own, and nothing else.

use super::Program;
use crate::error::Error;
use crate::progress::Lines;
use clowder_oxide::{TearDown, tear_down};

impl Program {
    /// Deletes what belongs to the cluster on the rack, then what is kept of it here.
    pub(super) async fn destroy(&self) -> Result<(), Error> {
        self.servers().await?;
        let state = self.state()?;
        let lines = Lines::default();
        let TearDown { deleted } = tear_down(&self.rack, &self.settings.cluster, &self.settings.limits, &lines).await?;
        state.remove()?;
        tracing::info!("cluster {} is no more: {deleted} things were deleted", self.settings.id());
        Ok(())
    }
}
