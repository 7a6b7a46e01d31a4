use super::*;
use crate::cluster::tests::spec;
use crate::cluster::{ClusterSpec, ImageSource};
use crate::ideal::Ideal;
use crate::limits::DrainPolicy;
use crate::nodes::NodeStatus;
use crate::observe::{SeenDisk, SeenImage, SeenInstance};
use crate::owner::Tag;
use crate::step::Target;
use oxide::types::{DiskState, InstanceState};
use std::time::Duration;

mod convergence;
mod removal;
mod repair;

/// A rack on which everything works, and a cluster on it.
struct World {
    cluster: Cluster,
    sizes: Sizes,
    ideal: Ideal,
    history: History,
    limits: Limits,
    now: Instant,
    /// What may not be touched.
    foreign: BTreeSet<Uuid>,
}

impl World {
    fn new(spec: ClusterSpec) -> Self {
        let seen = Seen {
            project: true,
            images: vec![SeenImage { id: Uuid::from_u128(1), name: "debian-12".to_owned(), size: 3 << 30, own: false }],
            ..Seen::default()
        };
        Self {
            cluster: Cluster::new(spec).unwrap(),
            sizes: Sizes::new(),
            ideal: Ideal::new(seen, None),
            history: History::default(),
            limits: Limits::default(),
            now: Instant::now(),
            foreign: BTreeSet::new(),
        }
    }

    /// Three servers and so many workers, all well.
    fn grown(workers: u32) -> Self {
        let mut world = Self::new(spec());
        world.sizes.insert("workers".into(), workers);
        world.settle();
        world
    }

    fn plan(&mut self) -> Plan {
        self.history.observe(&self.cluster, &self.ideal.seen, &self.ideal.nodes, self.now);
        let plan = plan(&View {
            cluster: &self.cluster,
            sizes: &self.sizes,
            seen: &self.ideal.seen,
            nodes: &self.ideal.nodes,
            history: &self.history,
            limits: &self.limits,
            now: self.now,
        });
        for (instance, part, why) in &plan.condemned {
            self.history.condemn(*instance, part.clone(), why.clone(), self.now);
        }
        self.history.retain(&plan.wanted());
        plan
    }

    /// One round; each step does what it should.
    fn round(&mut self) -> Plan {
        let plan = self.plan();
        for step in &plan.steps {
            self.check(step);
            self.ideal.take(&self.cluster, step, &mut self.history);
            self.history.took(step, None, &self.limits, self.now);
        }
        self.now += Duration::from_secs(30);
        plan
    }

    /// What no step may ever do.
    fn check(&self, step: &Step) {
        if let Step::Stop(Target { id, .. }) | Step::Delete(Target { id, .. }) | Step::Start(Target { id, .. }) = step {
            assert!(!self.foreign.contains(id), "{step} is somebody else's");
        }
        if let Step::DeleteDisk { disk, .. } = step {
            assert!(!self.foreign.contains(disk), "{step} is somebody else's");
            let attached = self
                .ideal
                .seen
                .disks
                .iter()
                .any(|seen| seen.id == *disk && matches!(seen.state, DiskState::Attached(_)));
            assert!(!attached, "{step} while it is attached");
        }
        if let Step::RemoveNode(node) | Step::Cordon(node) = step
            && node.0.starts_with("clowder-control-plane-")
        {
            let nodes = self.ideal.nodes.as_ref().unwrap();
            let servers = nodes.iter().filter(|(name, _)| name.0.starts_with("clowder-control-plane-"));
            let others: Vec<bool> = servers.filter(|(name, _)| *name != node).map(|(_, status)| status.ready).collect();
            let ready = others.iter().filter(|ready| **ready).count();
            assert!(ready > others.len() / 2, "{step} leaves {ready} of {} servers ready", others.len());
        }
        if let Step::Delete(Target { machine, .. }) = step
            && machine.prefix().as_str() == "clowder-control-plane-"
        {
            assert!(self.has_majority(), "{step} though the servers are no majority");
        }
        if let Step::CreateMachine { machine, .. } = step {
            let name = machine.to_string();
            assert!(self.ideal.seen.instances.iter().all(|seen| seen.name != name), "{step}: there is one");
        }
    }

    /// Whether more than half of the servers that are members answer.
    fn has_majority(&self) -> bool {
        let nodes = self.ideal.nodes.iter().flatten();
        let servers = nodes.filter(|(name, _)| name.0.starts_with("clowder-control-plane-"));
        let ready: Vec<bool> = servers.map(|(_, status)| status.ready).collect();
        ready.iter().filter(|ready| **ready).count() > ready.len() / 2
    }

    /// Until nothing is left to do; the steps that were taken.
    fn settle(&mut self) -> Vec<String> {
        let mut steps = Vec::new();
        for _ in 0..500 {
            let plan = self.round();
            if plan.is_settled() {
                return steps;
            }
            steps.extend(plan.steps.iter().map(ToString::to_string));
        }
        panic!("not settled: {:#?}", self.plan());
    }

    fn rounds(&mut self, count: usize) -> Vec<String> {
        (0..count).flat_map(|_| self.round().steps).map(|step| step.to_string()).collect()
    }

    fn instance(&mut self, name: &str) -> &mut SeenInstance {
        self.ideal.seen.instances.iter_mut().find(|instance| instance.name == name).unwrap()
    }

    fn node(&mut self, name: &str) -> &mut NodeStatus {
        self.ideal.nodes.as_mut().unwrap().get_mut(&name.into()).unwrap()
    }

    /// An instance breaks, and its node with it.
    fn fail(&mut self, name: &str) {
        self.instance(name).state = InstanceState::Failed;
        self.node(name).ready = false;
    }

    fn names(&self, prefix: &str) -> Vec<String> {
        let instances = self.ideal.seen.instances.iter();
        let mut names: Vec<String> =
            instances.map(|instance| instance.name.clone()).filter(|name| name.starts_with(prefix)).collect();
        names.sort();
        names
    }

    /// Somebody else's instance.
    fn foreign(&mut self, name: &str, tag: Option<Tag>) {
        let id = Uuid::from_u128(0xF0_0000 + self.foreign.len() as u128);
        self.foreign.insert(id);
        self.ideal.seen.instances.push(SeenInstance {
            id,
            name: name.to_owned(),
            tag,
            state: InstanceState::Failed,
            vcpus: 1,
            memory: 1,
        });
    }

    /// A disk, whosever it is.
    fn disk(&mut self, id: u128, name: &str, tag: Option<Tag>, state: DiskState) {
        self.ideal.seen.disks.push(SeenDisk { id: Uuid::from_u128(id), name: name.to_owned(), tag, state });
    }
}

fn tag(part: Part) -> Option<Tag> {
    Some(Tag { cluster: "home".parse().unwrap(), part })
}

#[test]
fn from_an_empty_rack_to_a_cluster() {
    let mut world = World::new(spec());
    world.ideal = Ideal::new(Seen::default(), None);
    world.cluster = {
        let mut spec = spec();
        let source = ImageSource { url: "https://images.example/debian.raw".parse().unwrap(), block_size: 512 };
        spec.servers.image.source = Some(source.clone());
        spec.pools.values_mut().for_each(|pool| pool.image.source = Some(source.clone()));
        Cluster::new(spec).unwrap()
    };
    world.sizes.insert("workers".into(), 2);
    world.sizes.insert("large".into(), 1);
    insta::assert_snapshot!(world.settle().join("\n"));
    assert!(world.round().is_settled());
}

#[test]
fn a_missing_project_or_image_is_said_and_nothing_is_done() {
    let mut world = World::new(ClusterSpec { missing_project: MissingProject::Refuse, ..spec() });
    world.ideal.seen.project = false;
    let plan = world.round();
    assert_eq!(plan.problems, ["there is no project clowder: create it, or name another"]);
    assert_eq!(plan.steps, []);

    let mut world = World::new(spec());
    world.ideal.seen.images.clear();
    world.rounds(5);
    assert_eq!(
        world.round().problems,
        ["image debian-12 is neither in the project nor in the silo: give a source to import it from, or name another"]
    );
    assert_eq!(world.names(""), Vec::<String>::new());

    let mut world = World::new(spec());
    world.ideal.seen.images[0].size = 65 << 30;
    world.rounds(5);
    let problems = world.round().problems.join("\n");
    assert!(
        problems.contains("image debian-12 has 65 GiB, and the root disk of servers 64: give it a larger one"),
        "{problems}"
    );
}

#[test]
fn names_that_somebody_else_has_are_left_to_them_and_told() {
    let mut world = World::new(spec());
    world.sizes.insert("workers".into(), 2);
    world.foreign("clowder-worker-0", None);
    world.foreign("clowder-control-plane-0", Some(Tag { cluster: "other".parse().unwrap(), part: Part::Servers }));
    world.foreign("clowder-worker-2", tag(Part::Servers));
    world.disk(9, "r-1-1cdc3a89-clowder-worker", None, DiskState::Detached);
    world.foreign.insert(Uuid::from_u128(9));
    world.settle();
    let own: Vec<String> = world.names("clowder-worker-");
    assert_eq!(own, ["clowder-worker-0", "clowder-worker-2", "clowder-worker-3", "clowder-worker-4"]);
    let notes = world.round().notes;
    assert_eq!(notes.len(), 4, "{notes:#?}");
    insta::assert_snapshot!(notes.join("\n"));
}

#[test]
fn what_servers_share_is_not_taken_from_somebody_else() {
    let mut world = World::new(spec());
    world.ideal.seen.groups.push(("clowder-home-servers".to_owned(), None));
    world.rounds(5);
    assert_eq!(
        world.round().problems,
        ["anti-affinity group clowder-home-servers exists and is not the cluster's: rename or delete it, or give the \
          cluster another name"]
    );
    assert_eq!(world.names(""), Vec::<String>::new());
}

#[test]
fn machines_of_a_pool_that_was_left_out_stay_and_are_told() {
    let mut world = World::grown(1);
    let mut fewer = spec();
    fewer.pools.remove(&"workers".into());
    world.cluster = Cluster::new(fewer).unwrap();
    assert_eq!(world.settle(), Vec::<String>::new());
    assert_eq!(
        world.round().notes,
        ["machine clowder-worker-0 is of pool workers, which the cluster has no more: it is left as it is"]
    );
}

#[test]
fn servers_come_one_at_a_time_and_workers_after_them() {
    let mut world = World::new(spec());
    world.sizes.insert("workers".into(), 3);
    for _ in 0..20 {
        let plan = world.round();
        let made: Vec<&Part> = plan
            .steps
            .iter()
            .filter_map(|step| match step {
                Step::CreateMachine { part, .. } => Some(part),
                _ => None,
            })
            .collect();
        let servers = made.iter().filter(|part| ***part == Part::Servers).count();
        assert!(servers <= 1 && (servers == 0 || made.len() == 1), "{made:?}");
        if made.len() > 1 {
            assert_eq!(world.names("clowder-control-plane-").len(), 3);
        }
    }
    assert_eq!(world.names("clowder-worker-").len(), 3);
}

#[test]
fn a_step_that_does_not_help_is_taken_less_and_less_often_and_told() {
    let mut world = World::new(spec());
    let mut times = Vec::new();
    let start = world.now;
    for _ in 0..200 {
        let plan = world.plan();
        for step in &plan.steps {
            if matches!(step, Step::CreateGroup { .. }) {
                times.push(world.now.duration_since(start).as_secs());
            }
            world.history.took(step, None, &world.limits, world.now);
        }
        world.now += Duration::from_secs(5);
    }
    assert_eq!(times, [0, 5, 15, 35, 75, 155, 315, 615, 915]);
    let problems = world.plan().problems.join("\n");
    assert!(problems.contains("create anti-affinity group clowder-home-servers: tried 9 times"), "{problems}");
}
