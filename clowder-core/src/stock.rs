//! Stock: what each node has of models, and how far the rest is. What a backend cannot see of its nodes by itself.

mod backend;

pub use backend::StockedBackend;

use crate::BoxStream;
use crate::node::NodeName;
use crate::store::FetchProgress;
use crate::url::ModelUrl;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a node has of models.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stock {
    /// Those that are whole and verified.
    pub complete: BTreeSet<ModelUrl>,
    /// Those that are on the way, or broke off on it: then their rate is 0.
    pub incomplete: BTreeMap<ModelUrl, FetchProgress>,
    /// Those that stay once they are whole, whether they are there or not.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub pinned: BTreeSet<ModelUrl>,
}

/// What is known of the nodes' stock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stocks {
    /// The stock of each node that tells its own; of the others nothing is known.
    pub told: BTreeMap<NodeName, Arc<Stock>>,
    /// The nodes that can have models at all, once that is known: a worker on any other would wait for its model for ever.
    pub keepers: Option<BTreeSet<NodeName>>,
}

/// Tells what the nodes have: the storage managers of a cluster.
pub trait StockSource: Send + Sync {
    /// The stocks now and after changes of them. Changes close together may come as one; the last state always comes.
    fn watch(&self) -> BoxStream<Arc<Stocks>>;
}
