//! A cluster that keeps its pools' numbers itself, and does not answer.

use crate::support::{Bench, options, spec};
use async_trait::async_trait;
use clowder_core::infra::PoolName;
use clowder_core::{BoxError, NodeName};
use clowder_oxide::{ClusterError, ClusterNodes, Drained, InMemoryNodes, InMemorySizes, NodeStatus, PoolSizes, Sizes};
use clowder_oxide_simulator::Fault;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Nodes and numbers of a cluster that may be away.
struct Cluster {
    nodes: Arc<InMemoryNodes>,
    sizes: Arc<InMemorySizes>,
    is_away: AtomicBool,
}

impl Cluster {
    fn answers(&self) -> Result<(), BoxError> {
        if self.is_away.load(Relaxed) { Err("it does not answer".into()) } else { Ok(()) }
    }

    fn call(&self, what: &str) -> Result<(), ClusterError> {
        self.answers().map_err(|source| ClusterError { what: what.to_owned(), source })
    }
}

#[async_trait]
impl ClusterNodes for Cluster {
    async fn nodes(&self) -> Result<BTreeMap<NodeName, NodeStatus>, ClusterError> {
        self.call("call to list nodes")?;
        self.nodes.nodes().await
    }

    async fn cordon(&self, node: &NodeName) -> Result<(), ClusterError> {
        self.call("call to cordon")?;
        self.nodes.cordon(node).await
    }

    async fn drain(&self, node: &NodeName) -> Result<Drained, ClusterError> {
        self.call("call to drain")?;
        self.nodes.drain(node).await
    }

    async fn remove(&self, node: &NodeName) -> Result<(), ClusterError> {
        self.call("call to delete")?;
        self.nodes.remove(node).await
    }
}

#[async_trait]
impl PoolSizes for Cluster {
    async fn load(&self) -> Result<Sizes, BoxError> {
        self.answers()?;
        self.sizes.load().await
    }

    async fn save(&self, pool: &PoolName, machines: u32) -> Result<(), BoxError> {
        self.answers()?;
        self.sizes.save(pool, machines).await
    }
}

#[tokio::test]
async fn its_servers_are_started_and_its_workers_left_as_they_are() {
    let mut bench = Bench::new(options(), spec(1)).await;
    bench.size(2).await;
    let (nodes, sizes) = (bench.nodes.clone(), bench.sizes.clone());
    let cluster = Arc::new(Cluster { nodes, sizes, is_away: AtomicBool::new(false) });
    let rack = bench.client(bench.rack.token());
    let mut controller = bench.controller_of(rack, cluster.clone(), cluster.clone());
    bench.settle(&mut controller).await;

    // The rack itself starts it once and fails.
    bench.rack.faults().inject(Fault::LeftStopped.times(1));
    cluster.is_away.store(true, Relaxed);
    assert!(bench.rack.break_instance("clowder-control-plane-0"));
    bench.rack.forget_calls();
    bench.rounds(&mut controller, 60).await;
    let up = |name: &str| bench.rack.events().borrow().iter().any(|guest| guest.name == name && guest.is_up);
    assert!(up("clowder-control-plane-0"), "{:#?}", bench.heard());
    assert!(bench.rack.calls().iter().any(|call| call.operation_id() == "instance_start"));
    assert_eq!(bench.rack.state().instances.len(), 3, "workers are neither made nor taken");

    cluster.is_away.store(false, Relaxed);
    bench.settle(&mut controller).await;
}

#[tokio::test]
async fn one_whose_servers_are_elsewhere_is_not_made_a_second_time() {
    let mut bench = Bench::new(options(), spec(1)).await;
    bench.size(1).await;
    let elsewhere = Arc::new(InMemoryNodes::default());
    elsewhere.join(NodeName("clowder-control-plane-0".to_owned()));
    elsewhere.join(NodeName("clowder-worker-0".to_owned()));
    elsewhere.lose(&NodeName("clowder-worker-0".to_owned()));
    let cluster = Cluster { nodes: elsewhere.clone(), sizes: bench.sizes.clone(), is_away: AtomicBool::new(false) };
    let cluster = Arc::new(cluster);
    let mut controller = bench.controller_of(bench.client(bench.rack.token()), cluster.clone(), cluster);
    let status = bench.rounds(&mut controller, 40).await;
    assert!(bench.rack.state().instances.is_empty(), "{:#?}", bench.heard());
    assert!(status.problems.iter().any(|problem| problem.contains("servers that are not on the rack")), "{status:#?}");
    assert_eq!(elsewhere.names().len(), 2, "its nodes are left alone");
}
