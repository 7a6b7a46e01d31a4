//! The nodes' storage managers: where they are, and what they have.

use crate::feeds::{Feed, Feeds, Heard, Silence, Tellers};
use clowder_core::stock::{Stock, StockSource, Stocks};
use clowder_core::{BoxStream, NodeName, Secret};
use futures::StreamExt;
use kube::Client;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;

/// The Pods of the storage managers' DaemonSet.
const SELECTOR: &str = "app.kubernetes.io/name=clowder-storage";
/// The port that they listen on.
const PORT: u16 = 8050;

/// The storage managers of a namespace, one a node, each listened to.
///
/// What a manager has told stands while it is not heard, until its Pod is gone.
pub struct StorageManagers {
    feeds: Feeds<Stock>,
}

impl StorageManagers {
    /// Those of a namespace, which ask their callers for `token`, from now on. To be called within a tokio runtime.
    pub fn follow(client: Client, namespace: &str, token: Option<Secret>) -> Self {
        let feed = Feed { selector: SELECTOR, port: PORT, path: "/events", token, silence: Silence::Nothing };
        let read = |data: &[u8]| serde_json::from_slice(data).ok();
        Self { feeds: Feeds::follow(client, namespace, feed, read) }
    }

    /// How many there are and are heard.
    pub fn heard(&self) -> Heard {
        self.feeds.heard()
    }

    /// The base URL of a node's manager, where it has one.
    pub fn base(&self, node: &NodeName) -> Option<String> {
        let tellers = self.feeds.tellers();
        let tellers = tellers.borrow();
        tellers.values().find(|teller| teller.node == *node).map(|teller| teller.base.clone())
    }
}

impl StockSource for StorageManagers {
    fn watch(&self) -> BoxStream<Arc<Stocks>> {
        let tellers: watch::Receiver<Arc<Tellers<Stock>>> = self.feeds.tellers();
        WatchStream::new(tellers).map(|tellers| Arc::new(stocks(&tellers))).boxed()
    }
}

/// What each node has. Where two managers are on one node, as for a moment when one follows the other, any of them tells:
/// they tell of the same folder.
///
/// A node without a manager can have no model. But where there is none at all, they have not been listed yet, or none has
/// been started: then nothing is known of any node.
fn stocks(tellers: &Tellers<Stock>) -> Stocks {
    let told = |teller: &crate::feeds::Teller<Stock>| Some((teller.node.clone(), Arc::clone(teller.told.as_ref()?)));
    let keepers = (!tellers.is_empty()).then(|| tellers.values().map(|teller| teller.node.clone()).collect());
    Stocks { told: tellers.values().filter_map(told).collect(), keepers }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feeds::Teller;

    #[test]
    fn a_node_that_tells_nothing_has_no_stock() {
        let teller = |node: &str, told: Option<Stock>| {
            (
                format!("pod-{node}"),
                Teller { node: node.into(), base: String::new(), told: told.map(Arc::new), is_heard: true },
            )
        };
        let whole = Stock { complete: ["builtin:kitten".parse().unwrap()].into(), ..Stock::default() };
        let tellers = Tellers::from([teller("a", Some(whole.clone())), teller("b", None)]);
        let stocks = stocks(&tellers);
        assert_eq!(stocks.told, [("a".into(), Arc::new(whole))].into());
        assert_eq!(stocks.keepers, Some(["a".into(), "b".into()].into()), "one that is not heard is there nonetheless");
    }

    #[test]
    fn before_there_is_any_manager_nothing_is_known() {
        assert_eq!(stocks(&Tellers::default()), Stocks::default());
    }
}
