//! `Infra`: what machines are under a backend.

use crate::BoxError;
use crate::node::NodeName;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Names a pool: machines of one kind that are counted together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PoolName(pub String);

impl From<&str> for PoolName {
    fn from(name: &str) -> Self {
        Self(name.to_owned())
    }
}

impl fmt::Display for PoolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Where a machine stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[non_exhaustive]
pub enum MachineState {
    /// Being made.
    Creating,
    /// Up, as far as the infrastructure can tell.
    Running,
    /// Being emptied and deleted.
    Removing,
    /// Does not come up, or does not go.
    Failed {
        /// Why and what to do, for a person.
        reason: String,
    },
}

/// One machine of a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The node it is, or will be.
    pub node: NodeName,
    /// Where it stands.
    #[serde(flatten)]
    pub state: MachineState,
}

/// A pool as observed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// How many machines there shall be.
    pub desired: u32,
    /// The fewest that may be asked for.
    pub min: u32,
    /// The most that may be asked for.
    pub max: u32,
    /// Bytes of memory that workers may take on one of its machines.
    pub machine_memory: u64,
    /// Those there are.
    pub machines: Vec<Machine>,
}

/// All pools, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InfraState {
    /// The pools, by name.
    pub pools: BTreeMap<PoolName, Pool>,
}

/// What machines are under a backend, and how there come to be more or fewer of them.
///
/// Level-triggered: [`scale`](Self::scale) records a number and returns; what it takes to get there shows in
/// [`observe`](Self::observe).
#[async_trait]
pub trait Infra: Send + Sync {
    /// The pools as they are now.
    ///
    /// # Errors
    /// [`InfraError::Unreachable`].
    async fn observe(&self) -> Result<InfraState, InfraError>;

    /// There shall be `machines` in this pool. Asking again for the same number changes nothing. Where there shall be fewer,
    /// those without workers go first, as far as the infrastructure can tell.
    ///
    /// # Errors
    /// [`InfraError::UnknownPool`], [`InfraError::OutOfRange`], [`InfraError::Unreachable`]; refused leaves all as it was.
    async fn scale(&self, pool: &PoolName, machines: u32) -> Result<(), InfraError>;
}

/// Why an infrastructure did not do it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InfraError {
    /// There is no such pool.
    #[error("there is no pool {pool}")]
    UnknownPool {
        /// Which.
        pool: PoolName,
    },
    /// The number is outside the pool's limits.
    #[error("pool {pool} takes {min} to {max} machines, not {asked}")]
    OutOfRange {
        /// Which.
        pool: PoolName,
        /// What was asked for.
        asked: u32,
        /// The fewest.
        min: u32,
        /// The most.
        max: u32,
    },
    /// The infrastructure does not answer.
    #[error("{what} failed")]
    Unreachable {
        /// What was being done.
        what: String,
        /// Why.
        #[source]
        source: BoxError,
    },
}
