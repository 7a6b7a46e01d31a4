//! Pins: which files stay on nodes that have them, as the models say.

use crate::chain;
use crate::desired::{DesiredModels, DesiredStore};
use crate::due::until;
use crate::model::ModelSpec;
use crate::node::NodeName;
use crate::reconcile::{Backoff, Retries};
use crate::stock::{StockSource, Stocks};
use crate::store::{MOST_PINS, ModelStore};
use crate::url::ModelUrl;
use futures::{StreamExt, stream};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Between two writes to a node that does not tell of what was written.
const RETRY: Backoff = Backoff { first: Duration::from_secs(1), most: Duration::from_secs(60) };
/// Nodes that are written to at the same time.
const AT_ONCE: usize = 16;

/// Keeps the pins of each node equal to what the models say: the files of all that are [pinned](crate::model::CacheRules::pin),
/// their own and those that they need beside.
///
/// Each node tells its pins with its stock, and is written to where they differ. So one that lost them, or that was away when
/// they changed, has them again once it is heard, and one that has them is left alone.
///
/// One at a time shall run: two that follow different records would undo each other.
pub struct PinWriter {
    desired: Arc<dyn DesiredStore>,
    stocks: Arc<dyn StockSource>,
    store: Arc<dyn ModelStore>,
}

impl PinWriter {
    /// A writer of what `desired` says to the nodes of `store`, whose pins `stocks` tells. It does nothing until it is
    /// [`run`](Self::run).
    pub fn new(desired: Arc<dyn DesiredStore>, stocks: Arc<dyn StockSource>, store: Arc<dyn ModelStore>) -> Self {
        Self { desired, stocks, store }
    }

    /// Writes until `shutdown`, or until what it follows ends.
    pub async fn run(self, shutdown: CancellationToken) {
        let (mut desired, mut stocks) = (self.desired.watch(), self.stocks.watch());
        let writing = async {
            let mut round =
                Round { store: self.store, wanted: None, stocks: Arc::default(), tries: Retries::default() };
            let mut due = None;
            loop {
                tokio::select! {
                    models = desired.next() => match models {
                        Some(models) => round.want(&models),
                        None => return,
                    },
                    told = stocks.next() => match told {
                        Some(told) => round.stocks = told,
                        None => return,
                    },
                    () = until(due) => {}
                }
                due = round.write().await;
            }
        };
        shutdown.run_until_cancelled(writing).await;
    }
}

/// What is known, and what was tried.
struct Round {
    store: Arc<dyn ModelStore>,
    /// What shall be pinned; nothing is written before that is known.
    wanted: Option<BTreeSet<ModelUrl>>,
    stocks: Arc<Stocks>,
    tries: Retries<NodeName>,
}

impl Round {
    fn want(&mut self, models: &DesiredModels) {
        let mut pinned = pinned(models.values().map(|model| &*model.spec));
        if pinned.len() > MOST_PINS {
            tracing::warn!(
                files = pinned.len(),
                most = MOST_PINS,
                "more files are pinned than may be: the last by URL are not"
            );
            pinned = pinned.into_iter().take(MOST_PINS).collect();
        }
        self.wanted = Some(pinned);
    }

    /// Writes to the nodes whose pins differ and whose time has come; says when that of the others comes.
    async fn write(&mut self) -> Option<Instant> {
        let (wanted, told) = (self.wanted.as_ref()?, &self.stocks.told);
        let differs = |node: &NodeName| told.get(node).is_some_and(|stock| stock.pinned != *wanted);
        self.tries.retain(differs);
        let now = Instant::now();
        let due = told.keys().filter(|node| differs(node) && self.tries.is_due(node, now));
        let store = &self.store;
        let writes: Vec<_> = due.map(|node| async move { (node, store.pin(node, wanted).await) }).collect();
        let outcomes: Vec<_> = stream::iter(writes).buffer_unordered(AT_ONCE).collect().await;
        for (node, outcome) in outcomes {
            if let Err(error) = outcome {
                tracing::warn!(%node, error = chain(&error), "the files that stay on a node are not told to it");
            }
            // Until the node tells of it, a write that went well is but a try.
            self.tries.failed(node.clone(), RETRY);
        }
        self.tries.next(now)
    }
}

/// The files of all models that are pinned, those of settings on trial included.
fn pinned<'a>(specs: impl Iterator<Item = &'a ModelSpec>) -> BTreeSet<ModelUrl> {
    let mut urls = BTreeSet::new();
    for spec in specs.filter(|spec| spec.cache.pin) {
        urls.insert(spec.source.clone());
        for spec in spec.on_trial().iter().chain([spec]) {
            urls.extend(spec.companions().map(|(url, _)| url.clone()));
        }
    }
    urls
}

#[cfg(test)]
mod tests;
