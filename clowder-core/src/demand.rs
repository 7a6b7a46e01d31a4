//! Demand: how many requests each model has, under way and waiting. What [autoscaling](crate::autoscale) goes by.

use crate::BoxStream;
use crate::model::ModelName;
use futures::StreamExt;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// Requests of each model, under way and waiting; a model that is not named has none.
pub type Demands = BTreeMap<ModelName, u32>;

/// Tells how much is asked of each model: the gateway of one machine, all gateways of a cluster.
pub trait DemandSource: Send + Sync {
    /// The demand now and after changes of it. Changes close together may come as one; the last state always comes.
    fn watch(&self) -> BoxStream<Arc<Demands>>;
}

/// The demand at one gateway, counted by what its requests hold.
#[derive(Debug)]
pub struct DemandBoard {
    counts: Mutex<Demands>,
    changed: watch::Sender<()>,
}

/// A request, counted until it is dropped.
#[derive(Debug)]
pub struct Demand {
    board: Arc<DemandBoard>,
    model: ModelName,
}

impl DemandBoard {
    /// One without requests.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { counts: Mutex::default(), changed: watch::Sender::new(()) })
    }

    /// Counts a request of this model until the guard is dropped.
    pub fn enter(self: &Arc<Self>, model: ModelName) -> Demand {
        self.edit(|counts| *counts.entry(model.clone()).or_default() += 1);
        Demand { board: Arc::clone(self), model }
    }

    /// The demand now.
    pub fn now(&self) -> Demands {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn edit(&self, change: impl FnOnce(&mut Demands)) {
        change(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.send_replace(());
    }
}

impl DemandSource for Arc<DemandBoard> {
    fn watch(&self) -> BoxStream<Arc<Demands>> {
        let (board, mut changes) = (Arc::clone(self), self.changed.subscribe());
        changes.mark_changed();
        let next = |(board, mut changes): (Arc<DemandBoard>, watch::Receiver<()>)| async move {
            changes.changed().await.ok()?;
            Some((Arc::new(board.now()), (board, changes)))
        };
        futures::stream::unfold((board, changes), next).boxed()
    }
}

impl Drop for Demand {
    fn drop(&mut self) {
        self.board.edit(|counts| {
            if let Some(count) = counts.get_mut(&self.model) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(&self.model);
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn requests_count_while_they_live() {
        let board = DemandBoard::new();
        let mut seen = board.watch();
        assert_eq!(*seen.next().await.unwrap(), Demands::new());
        let model: ModelName = "m".parse().unwrap();
        let (first, second) = (board.enter(model.clone()), board.enter(model.clone()));
        assert_eq!(*seen.next().await.unwrap(), Demands::from([(model.clone(), 2)]));
        drop(first);
        assert_eq!(*seen.next().await.unwrap(), Demands::from([(model, 1)]));
        drop(second);
        assert_eq!(*seen.next().await.unwrap(), Demands::new());
    }
}
