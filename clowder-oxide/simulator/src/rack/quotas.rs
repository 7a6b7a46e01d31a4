//! How much of the silo's share is used.

use super::Rack;
use crate::refusal::{Quota, Refusal};
use oxide::types;
use uuid::Uuid;

impl Rack {
    /// What is used. Instances count from their start to their stop, disks and snapshots as long as there are any.
    pub(super) fn provisioned(&self) -> types::VirtualResourceCounts {
        let placed = || self.instances.iter().filter(|instance| instance.sled.is_some());
        let disks = self.disks.iter().filter(|disk| disk.view.disk_type == types::DiskType::Distributed);
        let storage = disks.map(|disk| disk.view.size.0).sum::<u64>()
            + self.snapshots.iter().map(|snapshot| snapshot.view.size.0).sum::<u64>();
        types::VirtualResourceCounts {
            cpus: placed().map(|instance| i64::from(instance.view.ncpus.0)).sum(),
            memory: types::ByteCount(placed().map(|instance| instance.view.memory.0).sum()),
            storage: types::ByteCount(storage),
        }
    }

    /// Whether so many bytes more may be stored.
    pub(super) fn check_storage(&self, bytes: u64) -> Result<(), Refusal> {
        match self.provisioned().storage.0.saturating_add(bytes) <= self.quotas.storage {
            true => Ok(()),
            false => Err(Refusal::OverQuota(Quota::Storage)),
        }
    }

    /// Whether an instance that is on no sled may start.
    pub(super) fn check_compute(&self, instance: Uuid) -> Result<(), Refusal> {
        let (used, instance) = (self.provisioned(), self.instances.get(instance)?);
        if used.cpus + i64::from(instance.view.ncpus.0) > i64::from(self.quotas.cpus) {
            return Err(Refusal::OverQuota(Quota::Cpus));
        }
        if used.memory.0.saturating_add(instance.view.memory.0) > self.quotas.memory {
            return Err(Refusal::OverQuota(Quota::Memory));
        }
        Ok(())
    }
}
