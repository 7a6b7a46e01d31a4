//! Takes a cluster down: all that bears its tag goes, whatever it is in the middle of, and nothing else does.
//!
//! Images stay: other machines may start from them. So do the project, and snapshots that somebody made of the cluster's disks.

use crate::cluster::Cluster;
use crate::error::OxideError;
use crate::limits::Limits;
use crate::observe::{Seen, SeenDisk, SeenSnapshot, observe};
use crate::owner::{Part, Tag};
use crate::rack::Rack;
use crate::request;
use clowder_core::chain;
use oxide::types::{DiskState, InstanceState, SnapshotState, VpcFirewallRule, VpcFirewallRuleUpdateParams};
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

/// One thing that is taken away.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Removal {
    /// A machine is stopped.
    Stop(Uuid, String),
    /// A machine that has stopped is deleted.
    DeleteMachine(Uuid, String),
    /// An address is taken from the machine that has it.
    DetachFloatingIp(Uuid, String),
    /// An address is given back.
    DeleteFloatingIp(Uuid, String),
    /// The import to a disk is ended.
    StopImport(Uuid, String),
    /// A disk that was to take an image becomes one that can be deleted.
    AbandonImport(Uuid, String),
    /// A snapshot of a disk is deleted.
    DeleteSnapshot(Uuid, String),
    /// A disk is deleted.
    DeleteDisk(Uuid, String),
    /// A group of machines that are kept apart is deleted.
    DeleteGroup(String),
    /// Rules of the firewall are deleted.
    DeleteRules(Vec<String>),
}

impl fmt::Display for Removal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stop(_, name) => write!(f, "stop {name}"),
            Self::DeleteMachine(_, name) => write!(f, "delete {name}"),
            Self::DetachFloatingIp(_, name) => write!(f, "detach floating IP {name}"),
            Self::DeleteFloatingIp(_, name) => write!(f, "delete floating IP {name}"),
            Self::StopImport(_, name) => write!(f, "end the unfinished import to disk {name}"),
            Self::AbandonImport(_, name) => write!(f, "give up the unfinished import to disk {name}"),
            Self::DeleteSnapshot(_, name) => write!(f, "delete snapshot {name}"),
            Self::DeleteDisk(_, name) => write!(f, "delete disk {name}"),
            Self::DeleteGroup(name) => write!(f, "delete anti-affinity group {name}"),
            Self::DeleteRules(names) => write!(f, "delete the firewall's rules {}", names.join(", ")),
        }
    }
}

/// What can be taken away now, and what has to wait for that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Leftovers {
    removals: Vec<Removal>,
    waiting: BTreeSet<String>,
}

/// Why a cluster is not gone.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TearDownError {
    /// The rack cannot be looked at.
    #[error(transparent)]
    Rack(#[from] OxideError),
    /// It makes no progress any more.
    #[error("some of the cluster does not go: {what}; look at it with the rack's own tools, then run this again")]
    Stuck {
        /// What is left, and what was said to the last try.
        what: String,
    },
}

/// Deletes all that bears the tag of a cluster, and says what was done by `tell`; returns how many steps that took. Doing it
/// again, also after a crash, goes on from what is left.
///
/// # Errors
/// [`TearDownError`].
pub async fn tear_down(
    rack: &Rack,
    cluster: &Cluster,
    limits: &Limits,
    tell: impl Fn(&Removal),
) -> Result<usize, TearDownError> {
    let mut done = 0;
    let mut moved = Instant::now();
    let mut before = None;
    loop {
        let seen = observe(rack, cluster).await?;
        let left = leftovers(&seen, cluster);
        if left == Leftovers::default() {
            return Ok(done);
        }
        // The same rest as before is no progress, whatever the rack answered.
        if before.as_ref() != Some(&left) {
            moved = Instant::now();
        }
        let mut failures = Vec::new();
        for removal in &left.removals {
            match take(rack, cluster, removal).await {
                Ok(()) => {
                    done += 1;
                    tell(removal);
                }
                Err(error) if error.is_for_a_person() => return Err(error.into()),
                Err(error) => failures.push(format!("{removal}: {}", chain(&error))),
            }
        }
        if moved.elapsed() > limits.stop + limits.transition {
            let rest = left.waiting.into_iter().map(|name| format!("{name} is in between"));
            failures.extend(rest);
            return Err(TearDownError::Stuck { what: failures.join(", ") });
        }
        let goes_on = failures.is_empty() && left.waiting.is_empty() && before.as_ref() != Some(&left);
        let pause = if goes_on { Duration::ZERO } else { limits.poll };
        before = Some(left);
        sleep(pause).await;
    }
}

fn leftovers(seen: &Seen, cluster: &Cluster) -> Leftovers {
    let own = |tag: Option<&Tag>| tag.is_some_and(|tag| tag.cluster == cluster.spec().id);
    let mut left = Leftovers::default();
    for machine in seen.instances.iter().filter(|machine| own(machine.tag.as_ref())) {
        match machine.state {
            InstanceState::Stopped | InstanceState::Failed | InstanceState::Creating => {
                left.removals.push(Removal::DeleteMachine(machine.id, machine.name.clone()));
            }
            InstanceState::Starting | InstanceState::Running | InstanceState::Rebooting => {
                left.removals.push(Removal::Stop(machine.id, machine.name.clone()));
            }
            InstanceState::Destroyed => {}
            InstanceState::Stopping | InstanceState::Migrating | InstanceState::Repairing => {
                left.waiting.insert(machine.name.clone());
            }
        }
    }
    for address in seen.floating_ips.iter().filter(|address| own(address.tag.as_ref())) {
        let removal = if address.instance.is_some() { Removal::DetachFloatingIp } else { Removal::DeleteFloatingIp };
        left.removals.push(removal(address.id, address.name.clone()));
    }
    let disks: Vec<_> = seen.disks.iter().filter(|disk| own(disk.tag.as_ref())).collect();
    // A snapshot bears no tag: one of a disk by which an image is imported is the import's own.
    let imports = |disk: &SeenDisk| disk.tag.as_ref().is_some_and(|tag| tag.part == Part::Image);
    let of_import = |snapshot: &&SeenSnapshot| disks.iter().any(|disk| disk.id == snapshot.disk && imports(disk));
    for snapshot in seen.snapshots.iter().filter(of_import) {
        if snapshot.state != SnapshotState::Destroyed {
            left.removals.push(Removal::DeleteSnapshot(snapshot.id, snapshot.name.clone()));
        }
    }
    for disk in disks {
        let removal = match disk.state {
            DiskState::Destroyed => continue,
            DiskState::Detached | DiskState::Faulted | DiskState::Creating => Removal::DeleteDisk,
            DiskState::ImportingFromBulkWrites => Removal::StopImport,
            DiskState::ImportReady => Removal::AbandonImport,
            _ => {
                left.waiting.insert(disk.name.clone());
                continue;
            }
        };
        left.removals.push(removal(disk.id, disk.name.clone()));
    }
    let groups = seen.groups.iter().filter(|(_, tag)| own(tag.as_ref()));
    left.removals.extend(groups.map(|(name, _)| Removal::DeleteGroup(name.clone())));
    let rules = seen.rules.iter().filter(|rule| own(Tag::of(&rule.description).ok().as_ref()));
    let rules: Vec<String> = rules.map(|rule| rule.name.to_string()).collect();
    if !rules.is_empty() {
        left.removals.push(Removal::DeleteRules(rules));
    }
    left
}

async fn take(rack: &Rack, cluster: &Cluster, removal: &Removal) -> Result<(), OxideError> {
    match removal {
        Removal::Stop(id, _) => rack.stop_instance(*id).await,
        Removal::DeleteMachine(id, _) => rack.delete_instance(*id).await,
        Removal::DetachFloatingIp(id, _) => rack.detach_floating_ip(*id).await,
        Removal::DeleteFloatingIp(id, _) => rack.delete_floating_ip(*id).await,
        Removal::StopImport(id, _) => rack.stop_import(*id).await,
        Removal::AbandonImport(id, _) => rack.abandon_import(*id).await,
        Removal::DeleteSnapshot(id, _) => rack.delete_snapshot(*id).await,
        Removal::DeleteDisk(id, _) => rack.delete_disk(*id).await,
        Removal::DeleteGroup(name) => rack.delete_group(name).await,
        Removal::DeleteRules(_) => {
            // As they are now: much time may have gone by since all was looked at.
            let is_own =
                |rule: &VpcFirewallRule| Tag::of(&rule.description).is_ok_and(|tag| tag.cluster == cluster.spec().id);
            let rules = rack.firewall().await?.into_iter().filter(|rule| !is_own(rule));
            let rules = rules.map(request::firewall::kept).collect();
            rack.set_firewall(VpcFirewallRuleUpdateParams { rules }).await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::tests::spec;
    use crate::observe::{SeenFloatingIp, SeenInstance};

    fn tag(cluster: &str) -> Option<Tag> {
        Some(Tag { cluster: cluster.parse().unwrap(), part: Part::Servers })
    }

    fn instance(id: u128, tag: Option<Tag>, state: InstanceState) -> SeenInstance {
        let name = "clowder-worker-0".to_owned();
        SeenInstance { id: Uuid::from_u128(id), name, tag, state, vcpus: 1, memory: 1 }
    }

    fn disk(id: u128, tag: Option<Tag>, state: DiskState) -> SeenDisk {
        SeenDisk { id: Uuid::from_u128(id), name: format!("d{id}"), tag, state }
    }

    fn left(seen: &Seen) -> Vec<String> {
        let left = leftovers(seen, &Cluster::new(spec()).unwrap());
        left.removals
            .iter()
            .map(ToString::to_string)
            .chain(left.waiting.iter().map(|name| format!("wait for {name}")))
            .collect()
    }

    #[test]
    fn what_bears_no_tag_or_anothers_stays_whatever_it_is_called() {
        let snapshot = SeenSnapshot {
            id: Uuid::from_u128(9),
            name: "s".to_owned(),
            disk: Uuid::from_u128(1),
            state: SnapshotState::Ready,
        };
        for tag in [None, tag("other")] {
            let seen = Seen {
                project: true,
                instances: vec![instance(1, tag.clone(), InstanceState::Running)],
                disks: vec![disk(1, tag.clone(), DiskState::Detached)],
                snapshots: vec![snapshot.clone()],
                floating_ips: vec![SeenFloatingIp {
                    id: Uuid::from_u128(1),
                    name: "clowder-home-api".to_owned(),
                    tag: tag.clone(),
                    ip: "203.0.113.7".parse().unwrap(),
                    instance: None,
                }],
                groups: vec![("clowder-home-servers".to_owned(), tag)],
                ..Seen::default()
            };
            assert_eq!(left(&seen), Vec::<String>::new());
        }
    }

    #[test]
    fn a_snapshot_that_somebody_made_of_the_clusters_disk_stays_and_an_imports_goes() {
        let snapshot = |id: u128| SeenSnapshot {
            id: Uuid::from_u128(id + 10),
            name: format!("s{id}"),
            disk: Uuid::from_u128(id),
            state: SnapshotState::Ready,
        };
        let import = tag("home").map(|tag| Tag { part: Part::Image, ..tag });
        let disks = vec![disk(1, tag("home"), DiskState::Detached), disk(2, import, DiskState::Detached)];
        let seen = Seen { disks, snapshots: vec![snapshot(1), snapshot(2)], ..Seen::default() };
        assert_eq!(left(&seen), ["delete snapshot s2", "delete disk d1", "delete disk d2"]);
    }

    #[test]
    fn each_thing_goes_by_the_step_that_its_state_takes() {
        for (state, step) in [
            (InstanceState::Running, Some("stop clowder-worker-0")),
            (InstanceState::Starting, Some("stop clowder-worker-0")),
            (InstanceState::Stopping, Some("wait for clowder-worker-0")),
            (InstanceState::Stopped, Some("delete clowder-worker-0")),
            (InstanceState::Failed, Some("delete clowder-worker-0")),
            (InstanceState::Destroyed, None),
        ] {
            let seen = Seen { instances: vec![instance(1, tag("home"), state)], ..Seen::default() };
            assert_eq!(left(&seen), step.map(str::to_owned).into_iter().collect::<Vec<_>>(), "{state}");
        }
        for (state, step) in [
            (DiskState::Detached, Some("delete disk d1")),
            (DiskState::Attached(Uuid::nil()), Some("wait for d1")),
            (DiskState::ImportingFromBulkWrites, Some("end the unfinished import to disk d1")),
            (DiskState::ImportReady, Some("give up the unfinished import to disk d1")),
            (DiskState::Destroyed, None),
        ] {
            let seen = Seen { disks: vec![disk(1, tag("home"), state)], ..Seen::default() };
            assert_eq!(left(&seen), step.map(str::to_owned).into_iter().collect::<Vec<_>>());
        }
    }
}
