//! What is done about machines that are not well.

use super::*;
use crate::history::Failure;

#[test]
fn a_failed_worker_is_replaced() {
    let mut world = World::grown(2);
    world.fail("clowder-worker-0");
    insta::assert_snapshot!(world.settle().join("\n"));
    // The other comes while the failed one still has its name.
    assert_eq!(world.names("clowder-worker-"), ["clowder-worker-1", "clowder-worker-2"]);
}

#[test]
fn a_worker_that_stands_still_is_started() {
    let mut world = World::grown(2);
    world.instance("clowder-worker-1").state = InstanceState::Stopped;
    assert_eq!(world.settle(), ["start clowder-worker-1"]);
}

#[test]
fn one_that_does_not_start_is_replaced_unless_there_is_no_room() {
    for room in [true, false] {
        let mut world = World::grown(1);
        world.instance("clowder-worker-0").state = InstanceState::Stopped;
        let id = world.instance("clowder-worker-0").id;
        let failure = (!room).then(|| Failure { reason: "no vCPUs".to_owned(), for_want_of_room: true });
        let mut problems = Vec::new();
        for _ in 0..100 {
            let plan = world.plan();
            for step in &plan.steps {
                match step {
                    Step::Start(_) => {}
                    step => world.ideal.take(&world.cluster, step, &mut world.history),
                }
                world.history.took(step, failure.clone(), &world.limits, world.now);
            }
            problems = plan.problems;
            world.now += Duration::from_secs(30);
        }
        assert_eq!(world.ideal.seen.instances.iter().any(|seen| seen.id == id), !room);
        assert_eq!(problems.is_empty(), room, "{problems:?}");
        if !room {
            assert!(problems[0].starts_with("start clowder-worker-0: tried ") && problems[0].ends_with("no vCPUs"));
        }
    }
}

#[test]
fn workers_that_all_fall_silent_are_replaced_one_at_a_time() {
    let mut world = World::grown(5);
    (0..5).for_each(|i| world.node(&format!("clowder-worker-{i}")).ready = false);
    for _ in 0..100 {
        world.round();
        let leaving =
            world.ideal.seen.instances.iter().filter(|seen| world.history.condemned(seen.id).is_some()).count();
        assert!(leaving <= 1);
    }
    assert!(world.round().is_settled());
}

#[test]
fn a_machine_that_never_gets_well_is_replaced_so_often_and_no_more() {
    let mut world = World::grown(1);
    world.instance("clowder-worker-0").state = InstanceState::Failed;
    let mut made = 0;
    for _ in 0..400 {
        let plan = world.round();
        made += plan.steps.iter().filter(|step| matches!(step, Step::CreateMachine { .. })).count();
        for name in world.names("clowder-worker-") {
            world.instance(&name).state = InstanceState::Failed;
            if let Some(node) = world.ideal.nodes.as_mut().unwrap().get_mut(&name.as_str().into()) {
                node.ready = false;
            }
        }
    }
    assert_eq!(made, 5);
    assert_eq!(
        world.plan().problems,
        ["clowder-worker-2 has failed; 5 of pool:workers were replaced and not all got well: see a serial console"]
    );
}

#[test]
fn a_failed_server_is_replaced_while_the_others_are_a_majority() {
    let mut world = World::grown(1);
    world.fail("clowder-control-plane-0");
    insta::assert_snapshot!(world.settle().join("\n"));
    assert_eq!(world.names("clowder-control-plane-").len(), 3);
}

#[test]
fn servers_without_a_majority_are_started_and_never_deleted() {
    let mut world = World::grown(1);
    world.fail("clowder-control-plane-1");
    world.fail("clowder-control-plane-2");
    let before = world.names("clowder-control-plane-");
    let plan = world.plan();
    let steps: Vec<String> = plan.steps.iter().map(ToString::to_string).collect();
    assert_eq!(steps, ["start clowder-control-plane-1", "start clowder-control-plane-2"]);
    assert_eq!(plan.problems.len(), 2, "{:?}", plan.problems);
    let ids: BTreeSet<Uuid> = world.ideal.seen.instances.iter().map(|seen| seen.id).collect();
    world.settle();
    assert_eq!(world.names("clowder-control-plane-"), before);
    assert_eq!(world.ideal.seen.instances.iter().map(|seen| seen.id).collect::<BTreeSet<_>>(), ids);
}

#[test]
fn a_server_that_cannot_go_yet_lets_another_go_first() {
    let mut world = World::grown(0);
    world.node("clowder-control-plane-2").ready = false;
    let id = world.instance("clowder-control-plane-2").id;
    world.history.condemn(id, Part::Servers, Why::Replaced("was slow".to_owned()), world.now);
    // It is well again, and now its going would leave one of two.
    world.node("clowder-control-plane-2").ready = true;
    world.fail("clowder-control-plane-1");
    let steps = world.settle();
    let deleted: Vec<&String> = steps.iter().filter(|step| step.starts_with("delete clowder-control-plane-")).collect();
    assert_eq!(deleted, ["delete clowder-control-plane-1", "delete clowder-control-plane-2"]);
    assert_eq!(world.names("clowder-control-plane-").len(), 3);
}

#[test]
fn the_only_server_is_never_deleted() {
    let mut one = spec();
    one.servers.count = 1;
    let mut world = World::new(one);
    world.settle();
    let id = world.instance("clowder-control-plane-0").id;
    for state in [InstanceState::Failed, InstanceState::Starting, InstanceState::Stopped, InstanceState::Running] {
        world.instance("clowder-control-plane-0").state = state;
        world.ideal.nodes = None;
        let steps = world.rounds(60);
        assert!(steps.iter().all(|step| !step.contains("delete")), "{state}: {steps:?}");
        assert_eq!(world.instance("clowder-control-plane-0").id, id);
    }
}

#[test]
fn servers_of_another_size_are_replaced_one_at_a_time() {
    let mut world = World::grown(2);
    let before = world.ideal.seen.instances.len();
    let mut larger = spec();
    larger.servers.machines.memory_gib = 8;
    world.cluster = Cluster::new(larger).unwrap();
    world.settle();
    assert_eq!(world.ideal.seen.instances.len(), before);
    let servers = world.ideal.seen.instances.iter().filter(|seen| seen.name.starts_with("clowder-control-plane-"));
    assert!(servers.into_iter().all(|seen| seen.memory == 8 << 30));
}

fn leads_to(world: &World) -> String {
    let instance = world.ideal.seen.floating_ips[0].instance;
    let found = world.ideal.seen.instances.iter().find(|seen| Some(seen.id) == instance);
    found.map(|seen| seen.name.clone()).unwrap_or_default()
}

#[test]
fn the_address_moves_on_from_a_server_that_is_not_ready_for_a_while() {
    let mut world = World::grown(0);
    assert_eq!(leads_to(&world), "clowder-control-plane-0");
    world.node("clowder-control-plane-0").ready = false;
    assert_eq!(world.rounds(2), Vec::<String>::new());
    world.rounds(3);
    assert_eq!(leads_to(&world), "clowder-control-plane-1");
    // And stays there when the first is well again.
    world.node("clowder-control-plane-0").ready = true;
    world.rounds(5);
    assert_eq!(leads_to(&world), "clowder-control-plane-1");
}

#[test]
fn the_address_goes_round_while_nobody_answers() {
    let mut world = World::grown(0);
    world.ideal.nodes = None;
    let mut seen = Vec::new();
    for _ in 0..20 {
        world.round();
        seen.push(leads_to(&world));
    }
    seen.retain(|name| !name.is_empty());
    seen.dedup();
    let order = [0, 1, 2, 0, 1].map(|i| format!("clowder-control-plane-{i}"));
    assert!(seen.len() >= 4 && order.starts_with(&seen[..seen.len().min(5)]), "{seen:?}");
}
