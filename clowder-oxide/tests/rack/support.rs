//! A simulated rack, a cluster on it, and machines that join as they come up.

use clowder_core::NodeName;
use clowder_core::infra::PoolName;
use clowder_core::reconcile::Backoff;
use clowder_oxide::bootstrap::{ClusterSecrets, ClusterSetup, K3s};
use clowder_oxide::{
    Cluster, ClusterNodes, ClusterSpec, ClusterStatus, Event, ExternalIp, ImageSpec, InMemoryNodes, InMemorySizes,
    Limits, Login, MissingProject, Network, Parts, PoolSizes, PoolSpec, Progress, Rack, Reconciler, Round, RoundError,
    Servers, WorkerPool,
};
use clowder_oxide_simulator::{Options, SiloImage, Simulator, State};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// Between two rounds, in the time of the rack and of the loop.
pub(crate) const ROUND: Duration = Duration::from_secs(20);

/// More rounds than anything takes that comes to an end.
const ROUNDS: usize = 300;

/// Keys take a while to make, and who has them does not matter here.
static SECRETS: LazyLock<ClusterSecrets> = LazyLock::new(|| ClusterSecrets::generate().unwrap());

/// A rack without a project, with an image in its silo.
pub(crate) fn options() -> Options {
    Options { silo_images: vec![SiloImage { name: "debian-12".to_owned(), size: 3 << 30 }], ..Options::default() }
}

/// So many servers and a pool of workers.
pub(crate) fn spec(servers: u32) -> ClusterSpec {
    let image = ImageSpec { name: "debian-12".to_owned(), source: None };
    let workers = WorkerPool {
        machines: PoolSpec { data_disks_gib: vec![16], root_disk_gib: 16, max: 60, ..PoolSpec::default() },
        image: image.clone(),
        external_ip: ExternalIp::None,
        labels: BTreeMap::new(),
    };
    ClusterSpec {
        id: "home".parse().unwrap(),
        project: "clowder".to_owned(),
        missing_project: MissingProject::Create,
        network: Network::default(),
        ssh_keys: Vec::new(),
        servers: Servers {
            count: servers,
            machines: PoolSpec {
                prefix: "clowder-control-plane-".parse().unwrap(),
                root_disk_gib: 16,
                ..PoolSpec::default()
            },
            image,
            external_ip: ExternalIp::Ephemeral,
        },
        pools: BTreeMap::from([("workers".into(), workers)]),
    }
}

/// Keeps what it is told.
#[derive(Debug, Default)]
pub(crate) struct Heard(Mutex<Vec<String>>);

impl Progress for Heard {
    fn tell(&self, event: &Event) {
        self.0.lock().unwrap().push(event.to_string());
    }
}

/// All that outlives a controller.
pub(crate) struct Bench {
    pub(crate) rack: Simulator,
    pub(crate) spec: ClusterSpec,
    pub(crate) limits: Limits,
    pub(crate) nodes: Arc<InMemoryNodes>,
    pub(crate) sizes: Arc<InMemorySizes>,
    pub(crate) heard: Arc<Heard>,
    /// Boots that have joined: whoever is deleted as a node comes back no sooner than with its next.
    joined: BTreeSet<(uuid::Uuid, u64)>,
    now: Instant,
}

impl Bench {
    pub(crate) async fn new(options: Options, spec: ClusterSpec) -> Self {
        Self {
            rack: Simulator::start(options).await.unwrap(),
            spec,
            limits: Limits::default(),
            nodes: Arc::default(),
            sizes: Arc::default(),
            heard: Arc::default(),
            joined: BTreeSet::new(),
            now: Instant::now(),
        }
    }

    pub(crate) async fn size(&self, workers: u32) {
        self.sizes.save(&PoolName("workers".to_owned()), workers).await.unwrap();
    }

    pub(crate) fn client(&self, token: &str) -> Rack {
        let login = Login { url: self.rack.url().clone(), token: clowder_core::Secret::new(token) };
        let at_once = Backoff { first: Duration::ZERO, most: Duration::ZERO };
        Rack::new(&login, &self.spec.project, &self.spec.network).unwrap().with_retry(at_once)
    }

    /// A controller that knows nothing yet, as after a restart.
    pub(crate) fn controller(&self) -> Reconciler {
        self.controller_with(self.client(self.rack.token()))
    }

    pub(crate) fn controller_with(&self, rack: Rack) -> Reconciler {
        self.controller_of(rack, self.nodes.clone(), self.sizes.clone())
    }

    pub(crate) fn controller_of(
        &self,
        rack: Rack,
        nodes: Arc<dyn ClusterNodes>,
        sizes: Arc<dyn PoolSizes>,
    ) -> Reconciler {
        Reconciler::new(Parts {
            rack,
            cluster: Arc::new(Cluster::new(self.spec.clone()).unwrap()),
            setup: ClusterSetup {
                secrets: SECRETS.clone(),
                k3s: K3s::default(),
                ssh_keys: Vec::new(),
                server_names: Vec::new(),
                tailscale: None,
            },
            nodes,
            sizes,
            limits: self.limits.clone(),
            progress: self.heard.clone(),
        })
    }

    /// Machines that are up have joined, and those that are not do not answer.
    fn play(&mut self) {
        let guests = self.rack.events().borrow().clone();
        let up: BTreeSet<&str> = guests.iter().filter(|guest| guest.is_up).map(|guest| guest.name.as_str()).collect();
        for guest in guests.iter().filter(|guest| guest.is_up) {
            // Somebody else's machine is no node of this cluster.
            let ours = String::from_utf8_lossy(guest.user_data.as_bytes()).contains("clowder");
            if ours && self.joined.insert((guest.id, guest.boots)) {
                self.nodes.join(NodeName(guest.name.clone()));
            }
        }
        for node in self.nodes.names() {
            if !up.contains(node.0.as_str()) {
                self.nodes.lose(&node);
            }
        }
    }

    pub(crate) async fn round(&mut self, controller: &mut Reconciler) -> Result<Round, RoundError> {
        self.play();
        let round = controller.round(self.now).await;
        self.rack.clock().advance(ROUND);
        self.now += ROUND;
        round
    }

    /// Rounds until all is as it should be.
    pub(crate) async fn settle(&mut self, controller: &mut Reconciler) -> ClusterStatus {
        for _ in 0..ROUNDS {
            if self.round(controller).await.is_ok_and(|round| round.settled) {
                return controller.status().borrow().clone();
            }
        }
        panic!("not settled: {:#?}\n{:#?}", controller.status().borrow(), self.last_heard());
    }

    /// Rounds until all is as it should be, or the rack is cut off.
    pub(crate) async fn settle_or_crash(&mut self, controller: &mut Reconciler) {
        for _ in 0..ROUNDS {
            let settled = self.round(controller).await.is_ok_and(|round| round.settled);
            if settled || self.rack.is_stopped() {
                return;
            }
        }
        panic!("not settled: {:#?}\n{:#?}", controller.status().borrow(), self.last_heard());
    }

    /// So many rounds, whatever comes of them.
    pub(crate) async fn rounds(&mut self, controller: &mut Reconciler, rounds: usize) -> ClusterStatus {
        for _ in 0..rounds {
            // Errors are in the status.
            let _ = self.round(controller).await;
        }
        controller.status().borrow().clone()
    }

    pub(crate) fn heard(&self) -> Vec<String> {
        self.heard.0.lock().unwrap().clone()
    }

    fn last_heard(&self) -> Vec<String> {
        let heard = self.heard();
        heard[heard.len().saturating_sub(30)..].to_vec()
    }

    /// What there is, without what differs from run to run: identities and addresses.
    pub(crate) fn shape(&self) -> Vec<String> {
        shape(&self.rack.state())
    }
}

/// Everything on a rack in words; what is attached to what, too.
fn shape(state: &State) -> Vec<String> {
    let instance = |id: Option<uuid::Uuid>| {
        let found = state.instances.iter().find(|instance| Some(instance.view.id) == id);
        found.map_or("nothing".to_owned(), |instance| instance.view.name.to_string())
    };
    let mut shape = Vec::new();
    shape.extend(state.projects.iter().map(|project| format!("project {}", *project.name)));
    shape.extend(state.instances.iter().map(|one| format!("instance {} {}", *one.view.name, one.view.run_state)));
    shape.extend(state.disks.iter().map(|one| {
        let holder = match &one.view.state {
            oxide::types::DiskState::Attached(id) => instance(Some(*id)),
            other => format!("{other:?}"),
        };
        format!("disk {} of {holder}", *one.view.name)
    }));
    shape.extend(state.snapshots.iter().map(|one| format!("snapshot {}", *one.view.name)));
    shape.extend(state.images.iter().map(|one| format!("image {}", *one.view.name)));
    shape
        .extend(state.floating_ips.iter().map(|one| format!("address {} to {}", *one.name, instance(one.instance_id))));
    shape.extend(state.anti_affinity_groups.iter().map(|one| format!("group {}", *one.view.name)));
    for vpc in &state.vpcs {
        shape.extend(vpc.firewall_rules.iter().map(|rule| format!("rule {} to {:?}", *rule.name, rule.targets)));
    }
    shape
}
