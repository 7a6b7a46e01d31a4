//! What machines of a pool are like.

use crate::disk::{DiskName, MAX_DATA_DISKS};
use crate::machine::{MAX_ORDINAL, MachineName, PoolPrefix};
use crate::reserve::system_reserve;
use clowder_core::infra::{Machine, Pool};

/// The most vCPUs of an instance.
pub const MAX_VCPUS: u16 = 64;

/// The most memory of an instance, in GiB.
pub const MAX_MEMORY_GIB: u32 = 1536;

/// The largest disk, in GiB.
pub const MAX_DISK_GIB: u32 = 1023;

/// The most machines of a pool.
pub const MAX_MACHINES: u32 = MAX_ORDINAL + 1;

const GIB: u64 = 1 << 30;

/// A pool as somebody writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolSpec {
    /// What the names of its machines begin with.
    pub prefix: PoolPrefix,
    /// vCPUs of each machine.
    pub vcpus: u16,
    /// Memory of each machine, in GiB.
    pub memory_gib: u32,
    /// The disk it starts from, in GiB.
    pub root_disk_gib: u32,
    /// Its data disks, in GiB.
    pub data_disks_gib: Vec<u32>,
    /// The fewest machines that may be asked for.
    pub min: u32,
    /// The most machines that may be asked for.
    pub max: u32,
}

impl Default for PoolSpec {
    /// Machines `clowder-worker-N` of 4 vCPUs, 16 GiB of memory and a root disk of 64 GiB; none are made until somebody
    /// says how many there may be.
    fn default() -> Self {
        Self {
            prefix: PoolPrefix::default(),
            vcpus: 4,
            memory_gib: 16,
            root_disk_gib: 64,
            data_disks_gib: Vec::new(),
            min: 0,
            max: 0,
        }
    }
}

/// A pool whose machines Oxide would make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachinePool(PoolSpec);

/// Why there can be no such pool.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidPool {
    /// vCPUs out of range.
    #[error("a machine has 1 to {MAX_VCPUS} vCPUs, not {0}")]
    Vcpus(u16),
    /// Memory out of range.
    #[error("a machine has 1 to {MAX_MEMORY_GIB} GiB of memory, not {0}")]
    Memory(u32),
    /// A disk's size out of range.
    #[error("a disk has 1 to {MAX_DISK_GIB} GiB, not {0}: give a machine several data disks for more")]
    DiskSize(u32),
    /// More data disks than can be attached.
    #[error("a machine has at most {MAX_DATA_DISKS} data disks, not {0}")]
    DataDisks(usize),
    /// Limits that no number fulfils, or names cannot count.
    #[error(
        "a pool has at least {min} and at most {max} machines: the first must not be more, the other at most {MAX_MACHINES}"
    )]
    Limits {
        /// The fewest.
        min: u32,
        /// The most.
        max: u32,
    },
}

impl MachinePool {
    /// The pool, if Oxide's limits allow it. A project's quotas may be tighter; only the rack knows them.
    ///
    /// # Errors
    /// [`InvalidPool`], for the first thing that is wrong.
    pub fn new(spec: PoolSpec) -> Result<Self, InvalidPool> {
        if !(1..=MAX_VCPUS).contains(&spec.vcpus) {
            return Err(InvalidPool::Vcpus(spec.vcpus));
        }
        if !(1..=MAX_MEMORY_GIB).contains(&spec.memory_gib) {
            return Err(InvalidPool::Memory(spec.memory_gib));
        }
        if spec.data_disks_gib.len() > usize::from(MAX_DATA_DISKS) {
            return Err(InvalidPool::DataDisks(spec.data_disks_gib.len()));
        }
        let mut disks = std::iter::once(spec.root_disk_gib).chain(spec.data_disks_gib.iter().copied());
        if let Some(size) = disks.find(|size| !(1..=MAX_DISK_GIB).contains(size)) {
            return Err(InvalidPool::DiskSize(size));
        }
        if spec.min > spec.max || spec.max > MAX_MACHINES {
            return Err(InvalidPool::Limits { min: spec.min, max: spec.max });
        }
        Ok(Self(spec))
    }

    /// As it was written.
    pub fn spec(&self) -> &PoolSpec {
        &self.0
    }

    /// Bytes of memory that workers may take on one of its machines: all but the [`system_reserve`].
    pub fn machine_memory(&self) -> u64 {
        let memory = u64::from(self.0.memory_gib) * GIB;
        memory - system_reserve(memory)
    }

    /// The disks of one of its machines and their sizes in bytes, the root disk first.
    pub fn disks(&self, machine: &MachineName) -> impl Iterator<Item = (DiskName, u64)> {
        let data = (0_u8..).zip(&self.0.data_disks_gib).filter_map(|(index, gib)| {
            let disk = DiskName::data(machine.clone(), index)?;
            Some((disk, u64::from(*gib) * GIB))
        });
        let root = (DiskName::root(machine.clone()), u64::from(self.0.root_disk_gib) * GIB);
        std::iter::once(root).chain(data)
    }

    /// The pool as [`Infra::observe`](clowder_core::Infra::observe) tells it, when `desired` machines are asked for and
    /// there are these.
    pub fn observed(&self, desired: u32, machines: Vec<Machine>) -> Pool {
        Pool { desired, min: self.0.min, max: self.0.max, machine_memory: self.machine_memory(), machines }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refused(change: impl FnOnce(&mut PoolSpec)) -> InvalidPool {
        let mut spec = PoolSpec::default();
        change(&mut spec);
        MachinePool::new(spec).unwrap_err()
    }

    #[test]
    fn what_oxide_would_refuse_is_refused_here() {
        assert_eq!(refused(|spec| spec.vcpus = 0), InvalidPool::Vcpus(0));
        assert_eq!(refused(|spec| spec.vcpus = 65), InvalidPool::Vcpus(65));
        assert_eq!(refused(|spec| spec.memory_gib = 0), InvalidPool::Memory(0));
        assert_eq!(refused(|spec| spec.memory_gib = 1537), InvalidPool::Memory(1537));
        assert_eq!(refused(|spec| spec.root_disk_gib = 0), InvalidPool::DiskSize(0));
        assert_eq!(refused(|spec| spec.data_disks_gib = vec![100, 1024]), InvalidPool::DiskSize(1024));
        assert_eq!(refused(|spec| spec.data_disks_gib = vec![1; 8]), InvalidPool::DataDisks(8));
        assert_eq!(refused(|spec| spec.min = 1), InvalidPool::Limits { min: 1, max: 0 });
        assert_eq!(refused(|spec| spec.max = 100_001), InvalidPool::Limits { min: 0, max: 100_001 });
    }

    #[test]
    fn core_is_told_what_workers_may_take() {
        let pool = MachinePool::new(PoolSpec { max: 5, ..PoolSpec::default() }).unwrap();
        let observed = pool.observed(2, Vec::new());
        assert_eq!((observed.desired, observed.min, observed.max), (2, 0, 5));
        let gib = observed.machine_memory as f64 / GIB as f64;
        assert!((13.2..13.4).contains(&gib), "{gib} of 16 GiB");
    }

    proptest! {
        #[test]
        fn more_memory_is_more_for_workers(memory_gib in 1..MAX_MEMORY_GIB) {
            let of = |memory_gib| {
                MachinePool::new(PoolSpec { memory_gib, ..PoolSpec::default() }).unwrap().machine_memory()
            };
            prop_assert!(of(memory_gib) < of(memory_gib + 1));
            prop_assert!(of(memory_gib) < u64::from(memory_gib) * GIB);
        }

        #[test]
        fn every_disk_has_its_size(sizes in proptest::collection::vec(1..=MAX_DISK_GIB, 0..=7)) {
            let pool = MachinePool::new(PoolSpec { data_disks_gib: sizes.clone(), ..PoolSpec::default() }).unwrap();
            let machine = MachineName::new(pool.spec().prefix.clone(), 0).unwrap();
            let found: Vec<u64> = pool.disks(&machine).map(|(_, bytes)| bytes / GIB).collect();
            let wanted: Vec<u64> = std::iter::once(64).chain(sizes).map(u64::from).collect();
            prop_assert_eq!(found, wanted);
        }
    }
}
