//! How a cluster stands, for people and programs.

use crate::history::Why;
use crate::owner::Part;
use crate::plan::{Health, Plan, View, health, machines};
use oxide::types::InstanceState;
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A cluster, as it was last looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ClusterStatus {
    /// Which.
    pub cluster: String,
    /// Whether all is as it should be.
    pub settled: bool,
    /// The address of the API server that is reached from outside, if there is one.
    pub api_address: Option<IpAddr>,
    /// Addresses of servers inside the VPC whose nodes are ready.
    pub server_addresses: Vec<IpAddr>,
    /// The control plane.
    pub servers: PartStatus,
    /// The pools of workers.
    pub pools: BTreeMap<String, PartStatus>,
    /// What is done now, in words.
    pub steps: Vec<String>,
    /// What is waited for, in words.
    pub waiting: Vec<String>,
    /// What a person should know of, in words.
    pub problems: Vec<String>,
    /// Why the rack could not be looked at, where it could not; all else is then as it was before.
    pub unseen: Option<String>,
}

/// Machines of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PartStatus {
    /// How many there shall be.
    pub desired: u32,
    /// How many are nodes and ready.
    pub ready: u32,
    /// Those there are, by name.
    pub machines: BTreeMap<String, MachineStatus>,
}

/// A machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MachineStatus {
    /// Where it stands.
    pub phase: Phase,
    /// Why, where there is something to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Where a machine stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Phase {
    /// Its instance does not run yet.
    Starting,
    /// Its instance runs; its node is not there yet, or not ready.
    Joining,
    /// Its node is ready.
    Ready,
    /// It is emptied and deleted.
    Leaving,
    /// It does not come up, or does not go.
    Failed,
}

/// How a cluster stands, as it is seen and with this plan for it.
pub(crate) fn status(view: &View<'_>, plan: &Plan) -> ClusterStatus {
    let spec = view.cluster.spec();
    let ready = machines(view, &Part::Servers).into_iter().filter(|server| server.is_ready(view));
    let server_addresses = ready.filter_map(|server| view.seen.addresses.get(&server.instance.id)).copied().collect();
    let pools = view.cluster.pools().keys().map(|pool| {
        (pool.0.clone(), part(view, &Part::Pool(pool.clone()), view.cluster.desired(view.sizes, pool), plan))
    });
    ClusterStatus {
        cluster: spec.id.to_string(),
        settled: plan.is_settled(),
        api_address: view.seen.own_floating_ip(view.cluster).map(|address| address.ip),
        server_addresses,
        servers: part(view, &Part::Servers, spec.servers.count, plan),
        pools: pools.collect(),
        steps: plan.steps.iter().map(ToString::to_string).collect(),
        waiting: plan.waiting.clone(),
        problems: plan.problems.iter().chain(&plan.notes).cloned().collect(),
        unseen: None,
    }
}

fn part(view: &View<'_>, part: &Part, desired: u32, plan: &Plan) -> PartStatus {
    let mut status = PartStatus { desired, ..PartStatus::default() };
    for machine in machines(view, part) {
        let condemned = machine.condemned.map(|condemned| &condemned.why).or_else(|| {
            let now = plan.condemned.iter().find(|(instance, ..)| *instance == machine.instance.id);
            now.map(|(_, _, why)| why)
        });
        let (phase, reason) = match (condemned, health(view, &machine)) {
            (Some(Why::Surplus), _) => (Phase::Leaving, Some("is one too many".to_owned())),
            (Some(Why::Replaced(why)), _) => (Phase::Leaving, Some(format!("is replaced: {why}"))),
            (None, Health::Ready) => (Phase::Ready, None),
            (None, Health::Sick(why)) => (Phase::Failed, Some(why)),
            (None, Health::Stopped) => (Phase::Starting, Some("stands still and is started".to_owned())),
            (None, Health::Coming(_)) if machine.instance.state == InstanceState::Running => (Phase::Joining, None),
            (None, Health::Coming(_)) => (Phase::Starting, None),
        };
        status.ready += u32::from(phase == Phase::Ready);
        status.machines.insert(machine.name.to_string(), MachineStatus { phase, reason });
    }
    status
}
