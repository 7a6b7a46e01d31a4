//! How machines go.

use super::*;

#[test]
fn an_empty_worker_goes_first_step_by_step() {
    let mut world = World::grown(3);
    world.node("clowder-worker-0").pods = 2;
    world.node("clowder-worker-2").pods = 1;
    world.sizes.insert("workers".into(), 2);
    insta::assert_snapshot!(world.settle().join("\n"));
    assert_eq!(world.names("clowder-worker-"), ["clowder-worker-0", "clowder-worker-2"]);
}

#[test]
fn who_does_not_work_goes_before_who_does() {
    let mut world = World::grown(4);
    world.node("clowder-worker-1").ready = false;
    world.fail("clowder-worker-2");
    world.sizes.insert("workers".into(), 2);
    world.settle();
    assert_eq!(world.names("clowder-worker-"), ["clowder-worker-0", "clowder-worker-3"]);
}

#[test]
fn a_choice_outlives_a_restart() {
    let mut world = World::grown(3);
    world.node("clowder-worker-2").pods = 9;
    world.sizes.insert("workers".into(), 2);
    world.rounds(2);
    assert!(world.node("clowder-worker-1").cordoned);
    // It has the fewest Pods no more, but it was begun.
    world.node("clowder-worker-1").pods = 99;
    world.history = History::default();
    world.settle();
    assert_eq!(world.names("clowder-worker-"), ["clowder-worker-0", "clowder-worker-2"]);
}

fn undrainable(policy: DrainPolicy) -> Vec<String> {
    let mut world = World::grown(1);
    world.limits.drain_policy = policy;
    world.node("clowder-worker-0").pods = 1;
    world.sizes.insert("workers".into(), 0);
    let mut told = Vec::new();
    for _ in 0..60 {
        let plan = world.plan();
        for step in plan.steps.iter().filter(|step| !matches!(step, Step::Drain(_))) {
            told.push(step.to_string());
            world.ideal.take(&world.cluster, step, &mut world.history);
            world.history.took(step, None, &world.limits, world.now);
        }
        told.extend(plan.problems);
        world.now += Duration::from_secs(30);
    }
    told.dedup();
    told
}

#[test]
fn a_node_that_does_not_get_empty_goes_by_force_or_stays() {
    insta::assert_snapshot!(undrainable(DrainPolicy::Force).join("\n"));
    insta::assert_snapshot!(undrainable(DrainPolicy::Wait).join("\n"));
}

#[test]
fn nobody_goes_while_the_cluster_does_not_answer() {
    let mut world = World::grown(3);
    world.ideal.nodes = None;
    world.sizes.insert("workers".into(), 0);
    let steps = world.rounds(100);
    assert!(steps.iter().all(|step| step.contains("address")), "{steps:#?}");
    assert_eq!(world.names("").len(), 6);
    assert!(world.plan().problems[0].starts_with("the cluster has not answered for a while"));
}

#[test]
fn fewer_servers_one_at_a_time_with_a_majority() {
    let mut world = World::grown(0);
    let mut smaller = spec();
    smaller.servers.count = 1;
    world.cluster = Cluster::new(smaller).unwrap();
    insta::assert_snapshot!(world.settle().join("\n"));
    assert_eq!(world.names("clowder-control-plane-"), ["clowder-control-plane-0"]);
}

#[test]
fn disks_of_machines_that_are_gone_are_deleted_and_others_never() {
    let mut world = World::grown(1);
    world.disk(51, "r-7-1cdc3a89-clowder-worker", tag(Part::Pool("workers".into())), DiskState::Detached);
    world.disk(52, "d0-7-1cdc3a89-clowder-worker", tag(Part::Pool("workers".into())), DiskState::Faulted);
    world.disk(53, "r-8-1cdc3a89-clowder-worker", None, DiskState::Detached);
    world.disk(54, "somebody-elses", tag(Part::Pool("workers".into())), DiskState::Detached);
    world.foreign.extend([Uuid::from_u128(53), Uuid::from_u128(54)]);
    let mut steps = world.settle();
    steps.sort();
    assert_eq!(steps, ["delete disk d0-7-1cdc3a89-clowder-worker", "delete disk r-7-1cdc3a89-clowder-worker"]);
}
