//! Whatever state the rack is in, it gets where it should, and nothing is done that must not be.

use super::*;
use proptest::prelude::*;

/// Something that happens to a cluster.
#[derive(Clone, Debug)]
enum Blow {
    Size(u32),
    State(usize, InstanceState),
    Silent(usize),
    Cordoned(usize),
    Restart,
    Foreign(u32),
    Leftover(u32),
    Unanswered(u8),
    Rounds(usize),
}

fn states() -> impl Strategy<Value = InstanceState> {
    prop_oneof![
        Just(InstanceState::Starting),
        Just(InstanceState::Running),
        Just(InstanceState::Stopping),
        Just(InstanceState::Stopped),
        Just(InstanceState::Failed),
        Just(InstanceState::Rebooting),
    ]
}

fn blows() -> impl Strategy<Value = Blow> {
    prop_oneof![
        (0..6_u32).prop_map(Blow::Size),
        (0..9_usize, states()).prop_map(|(which, state)| Blow::State(which, state)),
        (0..9_usize).prop_map(Blow::Silent),
        (0..9_usize).prop_map(Blow::Cordoned),
        Just(Blow::Restart),
        (0..9_u32).prop_map(Blow::Foreign),
        (0..9_u32).prop_map(Blow::Leftover),
        (1..9_u8).prop_map(Blow::Unanswered),
        (0..30_usize).prop_map(Blow::Rounds),
    ]
}

fn workers_only(world: &World, which: usize) -> Option<String> {
    let own: Vec<&SeenInstance> = world
        .ideal
        .seen
        .instances
        .iter()
        .filter(|seen| seen.tag == tag(Part::Pool("workers".into())) && !world.foreign.contains(&seen.id))
        .collect();
    own.get(which).map(|seen| seen.name.clone())
}

fn strike(world: &mut World, blow: &Blow) {
    match blow {
        Blow::Size(size) => drop(world.sizes.insert("workers".into(), *size)),
        Blow::State(which, state) => {
            if let Some(name) = workers_only(world, *which) {
                world.instance(&name).state = *state;
                if let Some(node) = world.ideal.nodes.as_mut().and_then(|nodes| nodes.get_mut(&name.as_str().into())) {
                    node.ready = *state == InstanceState::Running;
                }
            }
        }
        Blow::Silent(which) | Blow::Cordoned(which) => {
            let node = workers_only(world, *which);
            let nodes = world.ideal.nodes.as_mut();
            if let Some(node) = node.zip(nodes).and_then(|(name, nodes)| nodes.get_mut(&name.as_str().into())) {
                node.ready &= matches!(blow, Blow::Cordoned(_));
                node.cordoned |= matches!(blow, Blow::Cordoned(_));
            }
        }
        Blow::Restart => world.history = History::default(),
        Blow::Foreign(ordinal) => {
            let name = format!("clowder-worker-{ordinal}");
            if world.ideal.seen.instances.iter().all(|seen| seen.name != name) {
                world.foreign(&name, None);
            }
        }
        Blow::Leftover(ordinal) => {
            let (id, name) = (0xD1_0000 + u128::from(*ordinal), format!("r-{ordinal}-1cdc3a89-clowder-worker"));
            if world.ideal.seen.disks.iter().all(|seen| seen.name != name) {
                world.disk(id, &name, tag(Part::Pool("workers".into())), DiskState::Detached);
            }
        }
        Blow::Unanswered(rounds) => {
            let nodes = world.ideal.nodes.take();
            for _ in 0..*rounds {
                let plan = world.plan();
                plan.steps.iter().for_each(|step| world.check(step));
                let moved = plan
                    .steps
                    .iter()
                    .filter(|step| !matches!(step, Step::AttachFloatingIp { .. } | Step::DetachFloatingIp { .. }));
                assert!(
                    moved.clone().all(|step| !matches!(step, Step::Cordon(_) | Step::Drain(_) | Step::RemoveNode(_)))
                );
                world.now += Duration::from_secs(30);
            }
            world.ideal.nodes = nodes;
        }
        Blow::Rounds(rounds) => drop(world.rounds(*rounds)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_happens_to_workers_there_come_to_be_as_many_as_shall_be(
        blows in proptest::collection::vec(blows(), 0..12),
        last in 0..6_u32,
    ) {
        let mut world = World::grown(3);
        for blow in &blows {
            strike(&mut world, blow);
        }
        world.sizes.insert("workers".into(), last);
        world.settle();
        let foreign = world.foreign.clone();
        let own = world.ideal.seen.instances.iter().filter(|seen| !foreign.contains(&seen.id));
        prop_assert_eq!(own.count(), 3 + last as usize);
        for id in &foreign {
            prop_assert!(world.ideal.seen.instances.iter().any(|seen| seen.id == *id));
        }
        let attached = |disk: &SeenDisk| matches!(disk.state, DiskState::Attached(_));
        prop_assert!(world.ideal.seen.disks.iter().all(attached), "nothing is left over");
        prop_assert_eq!(world.settle(), Vec::<String>::new());
    }

    #[test]
    fn servers_are_never_deleted_without_a_majority(
        count in prop_oneof![Just(3_u32), Just(5)],
        blows in proptest::collection::vec((0..5_usize, states(), 0..12_usize, any::<bool>()), 1..8),
        wanted in prop_oneof![Just(1_u32), Just(3), Just(5)],
    ) {
        let of = |count| Cluster::new({
            let mut spec = spec();
            spec.servers.count = count;
            spec
        });
        let mut world = World::grown(1);
        world.cluster = of(count).unwrap();
        world.settle();
        world.cluster = of(wanted).unwrap();
        for (which, state, rounds, restart) in blows {
            let servers = world.names("clowder-control-plane-");
            let name = &servers[which % servers.len()];
            world.instance(name).state = state;
            let node = world.ideal.nodes.as_mut().unwrap().get_mut(&name.as_str().into());
            if let Some(node) = node {
                node.ready = false;
            }
            if restart {
                world.history = History::default();
            }
            // `check` looks at each step.
            world.rounds(rounds);
            prop_assert!(!world.names("clowder-control-plane-").is_empty());
        }
        world.rounds(200);
        if world.has_majority() {
            prop_assert_eq!(world.names("clowder-control-plane-").len(), wanted as usize);
        }
    }

    #[test]
    fn servers_keep_a_majority_whatever_happens_to_one(
        which in 0..3_usize,
        state in prop_oneof![Just(InstanceState::Failed), Just(InstanceState::Stopped), Just(InstanceState::Starting)],
        count in prop_oneof![Just(1_u32), Just(3), Just(5)],
        restart_after in 0..20_usize,
    ) {
        let mut world = World::grown(1);
        let mut wanted = spec();
        wanted.servers.count = count;
        world.cluster = Cluster::new(wanted).unwrap();
        let name = format!("clowder-control-plane-{which}");
        world.instance(&name).state = state;
        world.node(&name).ready = false;
        world.rounds(restart_after);
        world.history = History::default();
        world.settle();
        prop_assert_eq!(world.names("clowder-control-plane-").len(), count as usize);
    }
}
