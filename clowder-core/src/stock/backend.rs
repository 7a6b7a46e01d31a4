//! A backend whose inventories say what the nodes have.

use super::{Stock, StockSource, Stocks};
use crate::BoxStream;
use crate::backend::{Backend, BackendError, LogOptions};
use crate::desired::{DesiredModels, DesiredStore};
use crate::due::until;
use crate::node::{Inventory, Node, NodeName, Openness};
use crate::plan::Action;
use crate::worker::{Worker, WorkerId, WorkerState};
use async_trait::async_trait;
use futures::{FutureExt, StreamExt, stream};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The least time between two inventories that differ in stock alone: many nodes that fetch are no reason to plan anew
/// many times a second.
const PACE: Duration = Duration::from_secs(1);

/// Another backend, with what is known of its nodes' stock put into its inventories: [`Node::cached`] lists the models
/// that are whole on a node, and [`WorkerState::Fetching`] says how far the node is with the worker's model; once that is whole, the worker is [starting](WorkerState::Starting).
///
/// Of a node whose stock is not known, the inventories say what the other backend says; but one that can have no models takes no
/// new workers. Those that it has stay: its manager may be back in a moment.
pub struct StockedBackend {
    backend: Arc<dyn Backend>,
    /// Says where the models come from, which is what their files are known by on a node.
    desired: Arc<dyn DesiredStore>,
    stocks: Arc<dyn StockSource>,
}

impl StockedBackend {
    /// `backend`, with what `stocks` tells of the models in `desired`.
    pub fn new(backend: Arc<dyn Backend>, desired: Arc<dyn DesiredStore>, stocks: Arc<dyn StockSource>) -> Self {
        Self { backend, desired, stocks }
    }
}

#[async_trait]
impl Backend for StockedBackend {
    async fn inventory(&self) -> Result<Arc<Inventory>, BackendError> {
        let inventory = self.backend.inventory().await?;
        // What is not known yet is not waited for: it is a better answer, and no other.
        let desired = self.desired.watch().next().now_or_never().flatten().unwrap_or_default();
        let stocks = self.stocks.watch().next().now_or_never().flatten().unwrap_or_default();
        Ok(Stocked::default().inventory(&inventory, &desired, &stocks))
    }

    async fn apply(&self, action: &Action) -> Result<(), BackendError> {
        self.backend.apply(action).await
    }

    fn watch(&self) -> BoxStream<Arc<Inventory>> {
        let watching = Watching {
            inventories: self.backend.watch(),
            desired_changes: self.desired.watch(),
            stock_changes: self.stocks.watch(),
            inventory: None,
            desired: Arc::default(),
            stocks: Arc::default(),
            stocked: Stocked::default(),
            told: None,
            due: None,
            not_before: Instant::now(),
        };
        stream::unfold(watching, |mut watching| async move { Some((watching.next().await?, watching)) }).boxed()
    }

    async fn logs(
        &self,
        worker: &WorkerId,
        options: LogOptions,
    ) -> Result<BoxStream<Result<String, BackendError>>, BackendError> {
        self.backend.logs(worker, options).await
    }
}

/// One watcher's state.
struct Watching {
    inventories: BoxStream<Arc<Inventory>>,
    desired_changes: BoxStream<Arc<DesiredModels>>,
    stock_changes: BoxStream<Arc<Stocks>>,
    inventory: Option<Arc<Inventory>>,
    desired: Arc<DesiredModels>,
    stocks: Arc<Stocks>,
    stocked: Stocked,
    told: Option<Arc<Inventory>>,
    /// When a change of stock is told that was not yet.
    due: Option<Instant>,
    not_before: Instant,
}

impl Watching {
    /// The next inventory; `None` once the backend has ended.
    async fn next(&mut self) -> Option<Arc<Inventory>> {
        loop {
            let due = self.due;
            tokio::select! {
                biased;
                // What is desired and in stock comes first where it is there first: it belongs into the first inventory.
                Some(desired) = self.desired_changes.next() => {
                    self.desired = desired;
                    self.due.get_or_insert(self.not_before);
                }
                Some(stocks) = self.stock_changes.next() => {
                    self.stocks = stocks;
                    self.due.get_or_insert(self.not_before);
                }
                next = self.inventories.next() => {
                    self.inventory = Some(next?);
                    return self.tell();
                }
                () = until(due) => {
                    self.due = None;
                    let before = self.told.clone();
                    let now = self.tell();
                    if now.is_some() && now != before {
                        self.not_before = Instant::now() + PACE;
                        return now;
                    }
                }
            }
        }
    }

    fn tell(&mut self) -> Option<Arc<Inventory>> {
        let inventory = self.inventory.as_ref()?;
        self.due = None;
        self.told = Some(self.stocked.inventory(inventory, &self.desired, &self.stocks));
        self.told.clone()
    }
}

/// A node without its stock, its stock, and both as one.
type Made = (Arc<Node>, Arc<Stock>, Arc<Node>);

/// Puts stocks into inventories. A node that is the same as before is not made again.
#[derive(Default)]
struct Stocked(BTreeMap<NodeName, Made>);

impl Stocked {
    fn inventory(&mut self, bare: &Arc<Inventory>, desired: &DesiredModels, stocks: &Stocks) -> Arc<Inventory> {
        self.0.retain(|name, _| stocks.told.contains_key(name) && bare.nodes.contains_key(name));
        let mut inventory = Inventory::clone(bare);
        for (name, node) in &mut inventory.nodes {
            if let Some(stock) = stocks.told.get(name) {
                *node = self.node(node, stock);
            }
            if node.is_schedulable() && stocks.keepers.as_ref().is_some_and(|keepers| !keepers.contains(name)) {
                Arc::make_mut(node).openness = Openness::Closed;
            }
        }
        for worker in inventory.workers.values_mut() {
            if let Some(state) = fetching(worker, desired, stocks) {
                Arc::make_mut(worker).state = state;
            }
        }
        Arc::new(inventory)
    }

    fn node(&mut self, bare: &Arc<Node>, stock: &Arc<Stock>) -> Arc<Node> {
        let known = self.0.get(&bare.name);
        if let Some((_, _, made)) = known.filter(|made| Arc::ptr_eq(&made.0, bare) && Arc::ptr_eq(&made.1, stock)) {
            return Arc::clone(made);
        }
        let made = Arc::new(Node { cached: stock.complete.clone(), ..Node::clone(bare) });
        self.0.insert(bare.name.clone(), (Arc::clone(bare), Arc::clone(stock), Arc::clone(&made)));
        made
    }
}

/// Where a worker stands whose files are being fetched, as its node's stock tells it: how far the next of them is, or that all
/// are there and the process is about to be started. `None` where it is not being fetched, or nobody says.
fn fetching(worker: &Worker, desired: &DesiredModels, stocks: &Stocks) -> Option<WorkerState> {
    let WorkerState::Fetching(_) = worker.state else { return None };
    let recorded = &desired.get(&worker.model)?.spec;
    let spec = recorded.of_revision(worker.revision).unwrap_or_else(|| Arc::clone(recorded));
    let stock = stocks.told.get(&worker.node)?;
    let mut files = std::iter::once(&spec.source).chain(spec.companions().map(|(url, _)| url));
    match files.find(|file| !stock.complete.contains(file)) {
        None => Some(WorkerState::Starting),
        Some(next) => Some(WorkerState::Fetching(*stock.incomplete.get(next)?)),
    }
}

#[cfg(test)]
mod tests;
