//! Which sled an instance goes to.

use super::Rack;
use crate::refusal::Refusal;
use oxide::types::AffinityPolicy;
use std::collections::BTreeSet;
use uuid::Uuid;

impl Rack {
    /// The emptiest sled that the instance's anti-affinity groups allow; of those that they would rather avoid, only
    /// where there is no other.
    pub(super) fn place(&self, instance: Uuid) -> Result<u32, Refusal> {
        let sleds_of = |policy: AffinityPolicy| -> BTreeSet<u32> {
            self.groups
                .iter()
                .filter(|group| group.view.policy == policy && group.members.contains(&instance))
                .flat_map(|group| &group.members)
                .filter_map(|member| self.instances.get(*member).ok()?.sled)
                .collect()
        };
        let (forbidden, avoided) = (sleds_of(AffinityPolicy::Fail), sleds_of(AffinityPolicy::Allow));
        let load = |sled: u32| self.instances.iter().filter(|other| other.sled == Some(sled)).count();
        (0..self.sleds)
            .filter(|sled| !forbidden.contains(sled))
            .min_by_key(|sled| (avoided.contains(sled), load(*sled)))
            .ok_or(Refusal::NoCapacity("No sleds can fit the requested instance"))
    }
}
