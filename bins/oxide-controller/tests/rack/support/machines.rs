//! Plays the machines of a rack: the first server starts the cluster's API server, and each machine that comes up joins.

use super::kubernetes::{Authorities, Kubernetes};
use clowder_oxide_simulator::{Device, Guest, Simulator, Tailnet};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// They run until this is dropped.
pub(crate) struct Machines {
    cluster: watch::Receiver<Option<Arc<Kubernetes>>>,
    playing: JoinHandle<()>,
}

impl Machines {
    /// Those of a rack. The API server listens at this address, and the tailnet says that this is the first
    /// server's.
    pub(crate) fn play(rack: &Simulator, address: IpAddr, tailnet: Arc<Tailnet>) -> Self {
        let (told, cluster) = watch::channel(None);
        let mut events = rack.events();
        let playing = tokio::spawn(async move {
            let mut joined: BTreeSet<(Uuid, u64)> = BTreeSet::new();
            loop {
                let guests = events.borrow_and_update().clone();
                for guest in guests.iter().filter(|guest| guest.is_up) {
                    if joined.insert((guest.id, guest.boots)) {
                        join(guest, address, &tailnet, &told).await;
                    }
                }
                if events.changed().await.is_err() {
                    return;
                }
            }
        });
        Self { cluster, playing }
    }

    /// The cluster, once its first server has started it.
    pub(crate) async fn cluster(&self) -> Arc<Kubernetes> {
        let mut cluster = self.cluster.clone();
        let started = cluster.wait_for(Option::is_some).await.unwrap();
        started.clone().unwrap()
    }
}

async fn join(guest: &Guest, address: IpAddr, tailnet: &Tailnet, told: &watch::Sender<Option<Arc<Kubernetes>>>) {
    if let Some(authorities) = Authorities::of(&guest.user_data.text()) {
        assert!(told.borrow().is_none(), "one server alone begins the cluster");
        let tags = vec!["tag:clowder-k8s-node".to_owned()];
        tailnet.join(&Device { hostname: guest.name.clone(), addresses: vec![address], tags });
        told.send_replace(Some(Arc::new(Kubernetes::start(address, &authorities).await)));
    }
    let cluster = told.borrow().clone().expect("the first server came first");
    cluster.join(&guest.name).await;
}

impl Drop for Machines {
    fn drop(&mut self) {
        self.playing.abort();
    }
}
