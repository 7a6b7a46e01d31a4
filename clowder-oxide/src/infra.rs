//! `Infra` on a rack.

use crate::cluster::Cluster;
use crate::sizes::PoolSizes;
use crate::status::{ClusterStatus, MachineStatus, PartStatus, Phase};
use async_trait::async_trait;
use clowder_core::infra::{Infra, InfraError, InfraState, Machine, MachineState, PoolName};
use clowder_core::{BoxError, NodeName};
use std::sync::Arc;
use tokio::sync::{Notify, watch};

/// The pools of workers of a cluster on a rack. It tells what a [`Reconciler`](crate::Reconciler) last saw, and records what
/// that is to reach.
pub struct OxideInfra {
    cluster: Arc<Cluster>,
    sizes: Arc<dyn PoolSizes>,
    status: watch::Receiver<ClusterStatus>,
    changed: Arc<Notify>,
}

impl OxideInfra {
    pub(crate) fn new(
        cluster: Arc<Cluster>,
        sizes: Arc<dyn PoolSizes>,
        status: watch::Receiver<ClusterStatus>,
        changed: Arc<Notify>,
    ) -> Self {
        Self { cluster, sizes, status, changed }
    }
}

fn unreachable(what: &str, source: BoxError) -> InfraError {
    InfraError::Unreachable { what: what.to_owned(), source }
}

fn machine(name: &str, status: &MachineStatus) -> Machine {
    let state = match status.phase {
        Phase::Starting | Phase::Joining => MachineState::Creating,
        Phase::Ready => MachineState::Running,
        Phase::Leaving => MachineState::Removing,
        Phase::Failed => MachineState::Failed { reason: status.reason.clone().unwrap_or_default() },
    };
    Machine { node: NodeName(name.to_owned()), state }
}

#[async_trait]
impl Infra for OxideInfra {
    async fn observe(&self) -> Result<InfraState, InfraError> {
        let sizes = self.sizes.load().await.map_err(|source| unreachable("read of the pools' sizes", source))?;
        let status = self.status.borrow().clone();
        if let Some(reason) = status.unseen {
            return Err(unreachable("look at the rack", reason.into()));
        }
        let none = PartStatus::default();
        let pools = self.cluster.pools().iter().map(|(name, pool)| {
            let seen = status.pools.get(&name.0).unwrap_or(&none);
            let machines = seen.machines.iter().map(|(name, status)| machine(name, status)).collect();
            (name.clone(), pool.observed(self.cluster.desired(&sizes, name), machines))
        });
        Ok(InfraState { pools: pools.collect() })
    }

    async fn scale(&self, pool: &PoolName, machines: u32) -> Result<(), InfraError> {
        let Some(found) = self.cluster.pools().get(pool) else {
            return Err(InfraError::UnknownPool { pool: pool.clone() });
        };
        let (min, max) = (found.spec().min, found.spec().max);
        if !(min..=max).contains(&machines) {
            return Err(InfraError::OutOfRange { pool: pool.clone(), asked: machines, min, max });
        }
        self.sizes.save(pool, machines).await.map_err(|source| unreachable("write of the pools' sizes", source))?;
        self.changed.notify_one();
        Ok(())
    }
}
