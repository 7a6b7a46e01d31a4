//! The cache as a [`ModelStore`] of one node, and as the one that tells what that node has.

use super::Cache;
use async_trait::async_trait;
use clowder_core::BoxStream;
use clowder_core::node::NodeName;
use clowder_core::stock::{StockSource, Stocks};
use clowder_core::store::{CachedModel, FetchProgress, FetchRequest, ModelStore, StoreError, StoredModel};
use clowder_core::url::ModelUrl;
use futures::StreamExt;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::watch;

#[async_trait]
impl ModelStore for Cache {
    async fn ensure(
        &self,
        node: &NodeName,
        request: FetchRequest,
        progress: watch::Sender<FetchProgress>,
    ) -> Result<StoredModel, StoreError> {
        self.check(node)?;
        self.pull(request, progress).await
    }

    async fn inventory(&self, node: &NodeName) -> Result<Vec<CachedModel>, StoreError> {
        self.check(node)?;
        Ok(self.list().await?.into_iter().map(CachedModel::from).collect())
    }

    async fn remove(&self, node: &NodeName, url: &ModelUrl) -> Result<(), StoreError> {
        self.check(node)?;
        self.forget(url).await
    }

    async fn pin(&self, node: &NodeName, urls: &BTreeSet<ModelUrl>) -> Result<(), StoreError> {
        self.check(node)?;
        self.set_pins(urls.clone()).await
    }
}

impl StockSource for Cache {
    fn watch(&self) -> BoxStream<Arc<Stocks>> {
        let node = self.node().clone();
        let of_node = move |stock| Arc::new(Stocks { told: [(node.clone(), stock)].into(), keepers: None });
        Cache::watch(self).map(of_node).boxed()
    }
}

impl Cache {
    fn check(&self, node: &NodeName) -> Result<(), StoreError> {
        if node == self.node() { Ok(()) } else { Err(StoreError::UnknownNode { node: node.clone() }) }
    }
}
