//! The control plane: the first server, then one at a time; replaced and removed one at a time, never below a majority.

use super::health::{Health, health};
use super::machines::{Machine, free_names};
use super::network::Network;
use super::{Plan, View, removal};
use crate::history::Why;
use crate::machine::MachineName;
use crate::owner::Part;
use crate::step::Step;
use clowder_core::NodeName;
use oxide::types::InstanceState;
use std::net::IpAddr;
use uuid::Uuid;

/// How the control plane stands, for those that join it.
pub(super) struct Stand {
    /// A server to join, if workers may.
    pub(super) join: Option<IpAddr>,
}

pub(super) fn plan(view: &View<'_>, servers: &[Machine<'_>], network: &Network, plan: &mut Plan) -> Stand {
    let problems = plan.problems.len();
    if !servers.is_empty() && !view.begins() && view.over(view.history.silent(), view.limits.join) {
        plan.problem(
            "the cluster has not answered for a while: see that its API server's address can be reached from here, and the \
             servers' serial consoles"
                .to_owned(),
        );
    }
    let ready: Vec<&Machine<'_>> = servers.iter().filter(|server| server.is_ready(view)).collect();
    let join = ready.iter().find_map(|server| view.seen.addresses.get(&server.instance.id)).copied();
    let goes = goes(view, servers);
    for server in servers {
        match server.condemned {
            Some(condemned) if goes.is_none_or(|id| id == server.instance.id) => {
                removal::plan(view, server, condemned.since, plan);
            }
            Some(_) => plan.wait(format!("another server to be gone before {}", server.name)),
            None => tend(view, server, goes.is_some() || !plan.condemned.is_empty(), plan),
        }
    }
    let leaving = servers.iter().any(|server| server.condemned.is_some());
    if !leaving && plan.condemned.is_empty() && ready.len() == servers.len() {
        resize(view, servers, join, network, plan);
    }
    let count = view.cluster.spec().servers.count as usize;
    let grown = ready.len() >= count;
    // A cluster that works does not wait for a server that does not come.
    let stuck =
        plan.problems.len() > problems || plan.steps.iter().any(|step| is_refused(view, step)) || has_workers(view);
    let may_join = grown || (ready.len() > count / 2 && stuck);
    Stand { join: join.filter(|_| may_join) }
}

/// The one server that goes now, of those that are to go: one that has left the cluster already, or one that can. Where none
/// can, for the others are no majority, one of those others may have to go first.
fn goes(view: &View<'_>, servers: &[Machine<'_>]) -> Option<Uuid> {
    let condemned = || servers.iter().filter(|server| server.condemned.is_some());
    let left = condemned().find(|server| server.node.is_none() || view.history.is_removed(&server.name.node()));
    let can = || condemned().find(|server| may_lose(view, &server.name.node()));
    left.or_else(can).map(|server| server.instance.id)
}

/// Whether this is a server that could not be created for a while.
fn is_refused(view: &View<'_>, step: &Step) -> bool {
    matches!(step, Step::CreateMachine { part: Part::Servers, .. })
        && view.history.taken(step).is_some_and(|taken| taken.times >= view.limits.tries)
}

fn has_workers(view: &View<'_>) -> bool {
    view.cluster.parts().skip(1).any(|part| view.seen.machines(view.cluster, &part).next().is_some())
}

/// More servers or fewer, or others; all there are are ready.
fn resize(view: &View<'_>, servers: &[Machine<'_>], join: Option<IpAddr>, network: &Network, plan: &mut Plan) {
    let count = view.cluster.spec().servers.count as usize;
    let lose = |server: &Machine<'_>| may_lose(view, &server.name.node());
    match servers.len() {
        there if there < count => create(view, servers.is_empty(), join, network, plan),
        there if there > count => {
            if let Some(last) = servers.iter().rev().find(|server| lose(server)) {
                plan.condemned.push((last.instance.id, Part::Servers, Why::Surplus));
            }
        }
        _ => {
            let drifted = servers.iter().find_map(|server| Some((server, server.drift(view)?)));
            match drifted {
                Some((server, why)) if lose(server) => {
                    plan.condemned.push((server.instance.id, Part::Servers, Why::Replaced(why)));
                }
                Some((server, why)) => plan.problem(format!(
                    "{} {why}, and cannot be replaced without losing the majority of servers",
                    server.name
                )),
                None => {}
            }
        }
    }
}

fn create(view: &View<'_>, first: bool, join: Option<IpAddr>, network: &Network, plan: &mut Plan) {
    if first && view.nodes.iter().flatten().any(|(node, status)| status.ready && is_server(view, node)) {
        return plan.problem(
            "the cluster has servers that are not on the rack: is it the right project, and the right cluster?"
                .to_owned(),
        );
    }
    let (Some(image), true) = (start_image(view, &Part::Servers, plan), network.ready) else { return };
    let Some(machine) = free_names(view, &Part::Servers).next() else { return };
    if first || join.is_some() {
        plan.step(Step::CreateMachine { machine, part: Part::Servers, image, joins: join.filter(|_| !first) });
    } else {
        plan.wait("the address of a server that is ready".to_owned());
    }
}

/// The image that machines of a part start from, if it is there and fits.
pub(super) fn start_image(view: &View<'_>, part: &Part, plan: &mut Plan) -> Option<Uuid> {
    let spec = view.cluster.image_of(part)?;
    let root = u64::from(view.cluster.machines(part)?.spec().root_disk_gib) << 30;
    let image = view.seen.image(&spec.name)?;
    if image.size > root {
        let (size, root) = (image.size.div_ceil(1 << 30), root >> 30);
        plan.problem(format!(
            "image {} has {size} GiB, and the root disk of {part} {root}: give it a larger one",
            spec.name
        ));
        return None;
    }
    Some(image.id)
}

/// Helps a server that is not well.
fn tend(view: &View<'_>, server: &Machine<'_>, another_leaves: bool, plan: &mut Plan) {
    let why = match health(view, server) {
        Health::Ready => return,
        Health::Coming(what) => return plan.wait(what),
        Health::Stopped => return plan.step(Step::Start(server.target())),
        Health::Sick(why) => why,
    };
    let node = server.name.node();
    if may_lose(view, &node) {
        return match view.may_replace(&Part::Servers) {
            Ok(()) if another_leaves => {}
            Ok(()) => plan.condemned.push((server.instance.id, Part::Servers, Why::Replaced(why))),
            Err(often) => plan.problem(format!("{node} {why}; {often}")),
        };
    }
    // Without a majority of others its disks are all there is of the cluster: it is started again and never deleted.
    plan.problem(format!(
        "{node} {why}, and is not replaced, for the other servers are no majority: see its serial console"
    ));
    match server.instance.state {
        InstanceState::Running if !view.begins() || view.history.has_answered() => {}
        InstanceState::Failed | InstanceState::Stopped => plan.step(Step::Start(server.target())),
        _ => plan.step(Step::Stop(server.target())),
    }
}

fn is_server(view: &View<'_>, node: &NodeName) -> bool {
    MachineName::parse(&view.cluster.servers().spec().prefix, &node.0).is_some()
}

/// The fewest of so many that are more than half.
fn majority(members: usize) -> usize {
    members / 2 + 1
}

/// Whether the control plane works: a majority of its members, as far as they count, is ready.
fn works(view: &View<'_>, counts: impl Fn(&NodeName) -> bool) -> bool {
    let nodes = view.nodes.iter().flatten();
    let members = nodes.filter(|(name, _)| is_server(view, name) && counts(name));
    let ready: Vec<bool> = members.map(|(_, status)| status.ready).collect();
    !ready.is_empty() && ready.iter().filter(|ready| **ready).count() >= majority(ready.len())
}

/// Whether the control plane works now.
pub(super) fn has_majority(view: &View<'_>) -> bool {
    works(view, |_| true)
}

/// Whether the control plane goes on working when this server leaves it: it works now, to take note of it, and those that stay
/// do, too.
pub(super) fn may_lose(view: &View<'_>, node: &NodeName) -> bool {
    has_majority(view) && works(view, |name| name != node)
}
