//! How a machine goes: its node is cordoned, drained and deleted, and it is stopped and deleted. Its disks go after it.

use super::address::lets_go;
use super::machines::Machine;
use super::servers::{has_majority, may_lose};
use super::{Plan, View};
use crate::limits::DrainPolicy;
use crate::nodes::NodeStatus;
use crate::owner::Part;
use crate::step::Step;
use oxide::types::InstanceState;
use tokio::time::Instant;

/// The next step of a machine that is to go since then.
pub(super) fn plan(view: &View<'_>, machine: &Machine<'_>, since: Instant, plan: &mut Plan) {
    let node = machine.name.node();
    let running = machine.instance.state == InstanceState::Running;
    let is_server = *machine.part == Part::Servers;
    if view.nodes.is_none() && (running || is_server) {
        return plan.wait(format!("the cluster to answer before {node} goes"));
    }
    if is_server && !has_majority(view) {
        // Perhaps somebody has to rebuild the cluster from what is on its disks.
        return plan.wait(format!("a majority of servers before {node} goes"));
    }
    if let Some(status) = machine.node {
        if is_server && !may_go(view, machine) {
            return plan.wait(format!("the other servers before {node} goes"));
        }
        // A kubelet that brings its node back changes nothing any more.
        if !view.history.is_removed(&node) {
            return leave_cluster(view, machine, status, since, plan);
        }
    }
    let target = machine.target();
    match machine.instance.state {
        InstanceState::Stopped | InstanceState::Failed => plan.step(Step::Delete(target)),
        InstanceState::Stopping if !view.over(view.history.in_state(target.id), view.limits.stop) => {
            plan.wait(format!("{node} to stop"));
        }
        _ => plan.step(Step::Stop(target)),
    }
}

/// Whether the others are a majority without it, and have taken over its address.
fn may_go(view: &View<'_>, server: &Machine<'_>) -> bool {
    let has_address = lets_go(server)
        && view.seen.own_floating_ip(view.cluster).is_some_and(|ip| ip.instance == Some(server.instance.id));
    may_lose(view, &server.name.node()) && !has_address
}

fn leave_cluster(view: &View<'_>, machine: &Machine<'_>, status: NodeStatus, since: Instant, plan: &mut Plan) {
    let node = machine.name.node();
    let answers = status.ready && machine.instance.state == InstanceState::Running;
    if !answers {
        return plan.step(Step::RemoveNode(node));
    }
    if !status.cordoned {
        return plan.step(Step::Cordon(node));
    }
    if view.history.is_drained(&node) {
        return plan.step(Step::RemoveNode(node));
    }
    match view.limits.drain_policy {
        DrainPolicy::Force if view.over(Some(since), view.limits.drain) => plan.step(Step::RemoveNode(node)),
        DrainPolicy::Wait if view.over(Some(since), view.limits.drain) => {
            plan.problem(format!("{node} is not empty after its time: {} Pods stay on it", status.pods));
            plan.step(Step::Drain(node));
        }
        _ => plan.step(Step::Drain(node)),
    }
}
