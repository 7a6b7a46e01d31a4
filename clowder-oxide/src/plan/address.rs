//! Where the API server's address leads: to a server that is ready, and on to another when it is not any more.

use super::machines::Machine;
use super::{Plan, View};
use crate::step::Step;
use oxide::types::InstanceState;

pub(super) fn plan(view: &View<'_>, servers: &[Machine<'_>], plan: &mut Plan) {
    let Some(address) = view.seen.own_floating_ip(view.cluster) else { return };
    let has = servers.iter().find(|server| Some(server.instance.id) == address.instance);
    if has.is_some_and(|server| stays(view, server)) {
        return;
    }
    let Some(next) = next(view, servers, has) else { return };
    match address.instance {
        Some(from) if from == next.instance.id => {}
        Some(_) if has.is_some_and(|server| !lets_go(server)) => {
            plan.wait(format!("the API server's address {} to come loose", address.ip));
        }
        Some(from) => plan.step(Step::DetachFloatingIp { id: address.id, from }),
        None => {
            plan.step(Step::AttachFloatingIp { id: address.id, server: next.name.clone(), instance: next.instance.id });
        }
    }
}

/// Whether the rack takes an address from such an instance. From any other, only its deletion does.
pub(super) fn lets_go(server: &Machine<'_>) -> bool {
    matches!(server.instance.state, InstanceState::Running | InstanceState::Stopped)
}

/// Whether the address stays with the server that has it.
fn stays(view: &View<'_>, server: &Machine<'_>) -> bool {
    let limit = view.limits.failover;
    if server.instance.state != InstanceState::Running || server.condemned.is_some() {
        return false;
    }
    if view.nodes.is_some() {
        return server.is_ready(view) || !view.over(view.history.unready(server.instance.id), limit);
    }
    // Nobody answers at the address. Each server has it for a while, as any may be the one that answers.
    let moved = view.history.address().map(|(_, at)| at);
    !view.over(view.history.silent().max(moved), limit)
}

/// The server that should have the address.
fn next<'a, 'b>(view: &View<'_>, servers: &'b [Machine<'a>], has: Option<&Machine<'a>>) -> Option<&'b Machine<'a>> {
    let running = || servers.iter().filter(|server| server.instance.state == InstanceState::Running);
    let staying = || running().filter(|server| server.condemned.is_none());
    if view.nodes.is_some() {
        let ready = staying().find(|server| server.is_ready(view));
        return ready.or_else(|| staying().next().filter(|_| has.is_none()));
    }
    let before = view.history.address().map(|(instance, _)| instance);
    let last = has.map(|server| server.instance.id).or(before);
    let position = servers.iter().position(|server| Some(server.instance.id) == last);
    let after = position.map_or(0, |position| position + 1);
    let turn = servers.iter().skip(after).chain(servers.iter().take(after));
    turn.into_iter().find(|server| server.instance.state == InstanceState::Running && server.condemned.is_none())
}
