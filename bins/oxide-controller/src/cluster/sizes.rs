//! How many machines each pool shall have: in a ConfigMap of the cluster, and in a file until there is a cluster.

use super::access::Access;
use super::kept::ensure_namespace;
use crate::state::{State, StateError};
use async_trait::async_trait;
use clowder_core::BoxError;
use clowder_core::infra::PoolName;
use clowder_k8s::call::{CallError, call, if_there};
use clowder_oxide::{PoolSizes, Sizes};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The ConfigMap.
pub(crate) const NAME: &str = "oxide-controller-pools";

/// The numbers of one cluster.
///
/// As long as the state folder has them, they were never in the cluster: that is so until the first server is up. From then
/// on the cluster has them alone, so that whoever runs a controller, here or there, goes by the same ones, and a cluster
/// that does not answer is not taken for one that shall have no machines.
pub(crate) struct ClusterSizes {
    pub(crate) access: Arc<Access>,
    pub(crate) namespace: String,
    pub(crate) state: State,
}

/// Why the numbers are not to be had.
#[derive(Debug, thiserror::Error)]
enum SizesError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error("ConfigMap {NAME} has {found:?} for pool {pool}: write a number of machines there")]
    NotANumber { pool: String, found: String },
}

#[async_trait]
impl PoolSizes for ClusterSizes {
    async fn load(&self) -> Result<Sizes, BoxError> {
        Ok(self.read().await?)
    }

    async fn save(&self, pool: &PoolName, machines: u32) -> Result<(), BoxError> {
        Ok(self.write(pool, machines).await?)
    }
}

impl ClusterSizes {
    async fn read(&self) -> Result<Sizes, SizesError> {
        let _turn = self.state.turn().await;
        self.read_in_turn().await
    }

    async fn read_in_turn(&self) -> Result<Sizes, SizesError> {
        match (self.state.sizes()?, self.access.client()) {
            (Some(first), Err(_)) => Ok(first),
            (Some(first), Ok(_)) => match self.publish(&first).await {
                // A server that is not up yet.
                Err(SizesError::Call(error)) if error.is_transient() => Ok(first),
                Err(error) => Err(error),
                Ok(()) => self.read_cluster().await,
            },
            (None, _) => self.read_cluster().await,
        }
    }

    async fn write(&self, pool: &PoolName, machines: u32) -> Result<(), SizesError> {
        let _turn = self.state.turn().await;
        match self.state.sizes()? {
            Some(mut first) => {
                first.insert(pool.clone(), machines);
                self.state.keep_sizes(&first)?;
                self.read_in_turn().await.map(drop)
            }
            None => self.write_cluster(&Sizes::from([(pool.clone(), machines)])).await,
        }
    }

    /// Moves the numbers from the folder into the cluster.
    async fn publish(&self, sizes: &Sizes) -> Result<(), SizesError> {
        ensure_namespace(&self.access.client()?, &self.namespace).await?;
        self.write_cluster(sizes).await?;
        Ok(self.state.forget_sizes()?)
    }

    fn api(&self) -> Result<Api<ConfigMap>, CallError> {
        Ok(Api::namespaced(self.access.client()?, &self.namespace))
    }

    async fn read_cluster(&self) -> Result<Sizes, SizesError> {
        let found = if_there(call(self.api()?.get(NAME)).await)?;
        let data = found.and_then(|map| map.data).unwrap_or_default();
        let sizes = data.into_iter().map(|(pool, found)| match found.trim().parse() {
            Ok(machines) => Ok((PoolName(pool), machines)),
            Err(_) => Err(SizesError::NotANumber { pool, found: found.chars().take(40).collect() }),
        });
        sizes.collect()
    }

    async fn write_cluster(&self, sizes: &Sizes) -> Result<(), SizesError> {
        let data: BTreeMap<_, _> =
            sizes.iter().map(|(pool, machines)| (pool.0.clone(), machines.to_string())).collect();
        let api = self.api()?;
        let patch = Patch::Merge(json!({ "data": data }));
        if if_there(call(api.patch(NAME, &PatchParams::default(), &patch)).await)?.is_some() {
            return Ok(());
        }
        let metadata = ObjectMeta { name: Some(NAME.to_owned()), ..ObjectMeta::default() };
        let map = ConfigMap { metadata, data: Some(data), ..ConfigMap::default() };
        match call(api.create(&PostParams::default(), &map)).await {
            Err(error) if error.is_conflict() => {
                call(api.patch(NAME, &PatchParams::default(), &patch)).await?;
                Ok(())
            }
            outcome => Ok(outcome.map(drop)?),
        }
    }
}
