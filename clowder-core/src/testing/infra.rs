//! For [`Infra`]: an in-memory one, and the suite.

use crate::infra::{Infra, InfraError, InfraState, Machine, MachineState, Pool, PoolName};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// An infrastructure whose machines are there as soon as they are asked for.
pub struct InMemoryInfra(Mutex<InfraState>);

impl InMemoryInfra {
    /// One of these pools, each with limits and the memory of a machine, and no machines yet.
    pub fn new(pools: impl IntoIterator<Item = (PoolName, std::ops::RangeInclusive<u32>, u64)>) -> Self {
        let pools: BTreeMap<PoolName, Pool> = pools
            .into_iter()
            .map(|(name, limits, machine_memory)| {
                let (min, max) = limits.into_inner();
                (name, Pool { desired: 0, min, max, machine_memory, machines: Vec::new() })
            })
            .collect();
        Self(Mutex::new(InfraState { pools }))
    }
}

#[async_trait]
impl Infra for InMemoryInfra {
    async fn observe(&self) -> Result<InfraState, InfraError> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    async fn scale(&self, pool: &PoolName, machines: u32) -> Result<(), InfraError> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(found) = state.pools.get_mut(pool) else {
            return Err(InfraError::UnknownPool { pool: pool.clone() });
        };
        if !(found.min..=found.max).contains(&machines) {
            return Err(InfraError::OutOfRange { pool: pool.clone(), asked: machines, min: found.min, max: found.max });
        }
        found.desired = machines;
        found.machines = (0..machines)
            .map(|i| Machine { node: format!("{pool}-{i}").as_str().into(), state: MachineState::Running })
            .collect();
        Ok(())
    }
}

/// The suite: `pool` exists and takes at least two numbers of machines. `settled` returns once nothing more happens.
///
/// # Panics
/// Where the infrastructure does not keep to the trait's word.
pub async fn conformance<F: Future<Output = ()>>(infra: &dyn Infra, pool: &PoolName, settled: impl Fn() -> F) {
    let observe = async || infra.observe().await.expect("observed").pools.remove(pool).expect("the pool");
    let before = observe().await;
    let unknown = infra.scale(&"no-such-pool".into(), 1).await;
    assert!(matches!(unknown, Err(InfraError::UnknownPool { .. })), "{unknown:?}");
    let beyond = infra.scale(pool, before.max + 1).await;
    assert!(matches!(beyond, Err(InfraError::OutOfRange { .. })), "{beyond:?}");
    assert_eq!(observe().await, before, "refused changes nothing");

    for machines in [before.max, before.min, before.max] {
        for _ in 0..2 {
            infra.scale(pool, machines).await.expect("scaled, also again");
        }
        assert_eq!(observe().await.desired, machines, "the number is recorded at once");
        settled().await;
        let running = observe().await.machines;
        assert!(running.iter().all(|machine| machine.state == MachineState::Running), "{running:?}");
        assert_eq!(running.len(), machines as usize);
        let mut names: Vec<_> = running.iter().map(|machine| &machine.node).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), machines as usize, "names differ");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn in_memory_conforms() {
        let infra = InMemoryInfra::new([("workers".into(), 0..=3, 1 << 30)]);
        conformance(&infra, &"workers".into(), || async {}).await;
    }
}
