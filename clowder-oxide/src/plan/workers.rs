//! A pool of workers.

use super::health::{Health, health};
use super::machines::{Machine, free_names, machines};
use super::servers::{Stand, start_image};
use super::{Plan, View, removal};
use crate::history::Why;
use crate::owner::Part;
use crate::step::Step;
use clowder_core::infra::PoolName;
use oxide::types::InstanceState;
use std::cmp::Reverse;

pub(super) fn plan(view: &View<'_>, pool: &PoolName, stand: &Stand, plan: &mut Plan) {
    let part = Part::Pool(pool.clone());
    let all = machines(view, &part);
    let (leaving, staying): (Vec<_>, Vec<_>) = all.iter().partition(|machine| machine.condemned.is_some());
    for machine in &leaving {
        if let Some(condemned) = machine.condemned {
            removal::plan(view, machine, condemned.since, plan);
        }
    }
    let desired = view.cluster.desired(view.sizes, pool) as usize;
    let surplus = surplus(view, &staying, desired);
    for machine in staying.iter().filter(|machine| !surplus.contains(&machine.instance.id)) {
        tend(view, machine, leaving.is_empty(), plan);
    }
    plan.condemned.extend(surplus.into_iter().map(|instance| (instance, part.clone(), Why::Surplus)));

    if staying.len() < desired {
        create(view, &part, desired - staying.len(), stand, plan);
    } else if staying.len() == desired
        && leaving.is_empty()
        && staying.iter().all(|machine| machine.is_ready(view))
        && let Some((machine, why)) = staying.iter().find_map(|machine| Some((machine, machine.drift(view)?)))
    {
        plan.condemned.push((machine.instance.id, part, Why::Replaced(why)));
    }
}

/// Those that go where there are too many: who does not run before who is not ready, who was cordoned, who has fewest Pods,
/// who came last.
fn surplus(view: &View<'_>, staying: &[&Machine<'_>], desired: usize) -> Vec<uuid::Uuid> {
    // Without nodes nobody knows whose work is lost.
    if view.nodes.is_none() {
        return Vec::new();
    }
    let mut order: Vec<&&Machine<'_>> = staying.iter().collect();
    order.sort_by_key(|machine| {
        let node = machine.node.unwrap_or_default();
        let runs = machine.instance.state == InstanceState::Running;
        (runs, node.ready, !node.cordoned, node.pods, Reverse(machine.name.ordinal()))
    });
    order.iter().take(staying.len().saturating_sub(desired)).map(|machine| machine.instance.id).collect()
}

/// Helps a machine that is not well.
fn tend(view: &View<'_>, machine: &Machine<'_>, nobody_leaves: bool, plan: &mut Plan) {
    let why = match health(view, machine) {
        Health::Ready => return cordoned(machine, plan),
        Health::Coming(what) => return plan.wait(what),
        Health::Stopped => return plan.step(Step::Start(machine.target())),
        Health::Sick(why) => why,
    };
    let node = machine.name.node();
    if let Err(often) = view.may_replace(machine.part) {
        plan.problem(format!("{node} {why}; {often}"));
    } else if machine.instance.state != InstanceState::Running || (nobody_leaves && alone(machine, plan)) {
        plan.condemned.push((machine.instance.id, machine.part.clone(), Why::Replaced(why)));
    } else {
        // Many that run and do not answer at once are a fault of the network rather than theirs.
        plan.wait(format!("another to be replaced before {node}, which {why}"));
    }
}

/// A person's doing, or that of a removal which nobody wants any more: only a person knows.
fn cordoned(machine: &Machine<'_>, plan: &mut Plan) {
    if machine.node.is_some_and(|node| node.cordoned) {
        plan.notes.push(format!("node {} is cordoned and takes no new Pods: uncordon it if it should", machine.name));
    }
}

/// Whether no other machine of its pool is given up in this plan.
fn alone(machine: &Machine<'_>, plan: &Plan) -> bool {
    !plan.condemned.iter().any(|(_, part, _)| part == machine.part)
}

fn create(view: &View<'_>, part: &Part, count: usize, stand: &Stand, plan: &mut Plan) {
    let Some(image) = start_image(view, part, plan) else { return };
    let Some(join) = stand.join else {
        return plan.wait(format!("the servers before {count} machines of {part} are created"));
    };
    for machine in free_names(view, part).take(count) {
        plan.step(Step::CreateMachine { machine, part: part.clone(), image, joins: Some(join) });
    }
}
