//! How many machines there shall be of each pool, kept where a restart finds it.

use async_trait::async_trait;
use clowder_core::BoxError;
use clowder_core::infra::PoolName;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// The number that was last asked for, by pool.
pub type Sizes = BTreeMap<PoolName, u32>;

/// Keeps how many machines there shall be of each pool. A pool of which nothing is kept has its fewest.
#[async_trait]
pub trait PoolSizes: Send + Sync {
    /// All that is kept.
    ///
    /// # Errors
    /// Whatever keeps it from being read.
    async fn load(&self) -> Result<Sizes, BoxError>;

    /// Keeps the number of one pool; those of others stay.
    ///
    /// # Errors
    /// Whatever keeps it from being written; then the old number stands.
    async fn save(&self, pool: &PoolName, machines: u32) -> Result<(), BoxError>;
}

/// Numbers that are forgotten with the process.
#[derive(Debug, Default)]
pub struct InMemorySizes(Mutex<Sizes>);

impl InMemorySizes {
    /// With these numbers to begin with.
    pub fn new(sizes: Sizes) -> Self {
        Self(Mutex::new(sizes))
    }
}

#[async_trait]
impl PoolSizes for InMemorySizes {
    async fn load(&self) -> Result<Sizes, BoxError> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    async fn save(&self, pool: &PoolName, machines: u32) -> Result<(), BoxError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(pool.clone(), machines);
        Ok(())
    }
}
