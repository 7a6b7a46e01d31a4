//! The storage managers of a cluster, one a node, as one [`ModelStore`].

use super::{Fetched, Manager, ManagerError};
use async_trait::async_trait;
use clowder_core::node::NodeName;
use clowder_core::secret::Secret;
use clowder_core::store::{CachedModel, FetchProgress, FetchRequest, Lease, ModelStore, StoreError, StoredModel};
use clowder_core::url::ModelUrl;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How often a fetch is asked how far it is.
const PROGRESS: Duration = Duration::from_secs(1);

/// Knows where the storage managers are.
pub trait Directory: Send + Sync {
    /// The base URL of a node's manager (`http://HOST:PORT`), where it has one.
    fn manager(&self, node: &NodeName) -> Option<String>;
}

impl<F: Fn(&NodeName) -> Option<String> + Send + Sync> Directory for F {
    fn manager(&self, node: &NodeName) -> Option<String> {
        self(node)
    }
}

/// All managers that a [`Directory`] knows, with one token.
///
/// The [`Lease`] of a model fetched through it holds nothing: what keeps a file on a node is its use there.
pub struct Managers {
    directory: Arc<dyn Directory>,
    token: Option<Secret>,
}

impl Managers {
    /// Those of `directory`, which ask their callers for `token`.
    pub fn new(directory: Arc<dyn Directory>, token: Option<Secret>) -> Self {
        Self { directory, token }
    }

    fn of(&self, node: &NodeName) -> Result<Manager, StoreError> {
        let base = self.directory.manager(node).ok_or_else(|| StoreError::UnknownNode { node: node.clone() })?;
        Manager::new(&base, self.token.as_ref())
            .map_err(|error| StoreError::Cache { what: format!("of node {node}"), source: error.into() })
    }
}

#[async_trait]
impl ModelStore for Managers {
    async fn ensure(
        &self,
        node: &NodeName,
        request: FetchRequest,
        progress: watch::Sender<FetchProgress>,
    ) -> Result<StoredModel, StoreError> {
        let manager = self.of(node)?;
        let told = async {
            loop {
                tokio::time::sleep(PROGRESS).await;
                if let Ok(Some(so_far)) = manager.progress(&request.url).await {
                    progress.send_replace(so_far);
                }
            }
        };
        let fetched = tokio::select! {
            fetched = manager.fetch(&request) => fetched.map_err(|error| error.about(&request))?,
            () = told => unreachable!("it is asked until the fetch ends"),
        };
        progress.send_replace(FetchProgress { bytes: fetched.bytes, total: Some(fetched.bytes), rate: 0 });
        let Fetched { path, digest, bytes, hold } = fetched;
        Ok(StoredModel { path, digest, bytes, lease: Lease::new(()), hold })
    }

    async fn inventory(&self, node: &NodeName) -> Result<Vec<CachedModel>, StoreError> {
        let models = self.of(node)?.list().await;
        models.map_err(|error| StoreError::Cache { what: format!("of node {node}"), source: error.into() })
    }

    async fn remove(&self, node: &NodeName, url: &ModelUrl) -> Result<(), StoreError> {
        match self.of(node)?.forget(url).await {
            Err(ManagerError::Refused { status: 404, .. }) | Ok(()) => Ok(()),
            Err(error) => Err(error.about(&url.clone().into())),
        }
    }

    async fn pin(&self, node: &NodeName, urls: &BTreeSet<ModelUrl>) -> Result<(), StoreError> {
        self.of(node)?.pin(urls).await.map_err(|error| match error {
            ManagerError::Refused { code, .. } if code == "too_many_pins" => StoreError::TooManyPins(urls.len()),
            error => StoreError::Cache { what: format!("of node {node}"), source: error.into() },
        })
    }
}
