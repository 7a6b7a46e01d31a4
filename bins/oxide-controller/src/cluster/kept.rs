//! What is kept in the cluster for whoever runs its controller next: a Secret.

use clowder_core::Secret;
use clowder_k8s::call::{CallError, call, if_there};
use k8s_openapi::api::core::v1::{Namespace, Secret as Object};
use kube::api::{ObjectMeta, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;
use std::collections::BTreeMap;

/// Who applies what is ours.
pub(crate) const MANAGER: &str = "oxide-controller";

/// Who applies what the controller in the cluster needs.
const LUGGAGE_MANAGER: &str = "oxide-controller-pivot";

/// The Secret with all that must not be lost, a file of the state folder under each key.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Kept {
    /// What it has, where it is there.
    pub(crate) async fn read(&self, client: &Client) -> Result<Option<BTreeMap<String, Secret>>, CallError> {
        let api: Api<Object> = Api::namespaced(client.clone(), &self.namespace);
        let found = if_there(call(api.get(&self.name)).await)?;
        Ok(found.map(|object| {
            let data = object.data.unwrap_or_default().into_iter();
            data.map(|(key, value)| (key, Secret::new(String::from_utf8_lossy(&value.0)))).collect()
        }))
    }

    /// Has it hold the state folder's files.
    pub(crate) async fn write_state(&self, client: &Client, files: &BTreeMap<String, Secret>) -> Result<(), CallError> {
        self.apply(client, MANAGER, files).await
    }

    /// Has it hold what the controller in the cluster needs besides. That has a manager of its own, so that a run here that
    /// brings none of it takes none away.
    pub(crate) async fn write_luggage(
        &self,
        client: &Client,
        files: &BTreeMap<String, Secret>,
    ) -> Result<(), CallError> {
        self.apply(client, LUGGAGE_MANAGER, files).await
    }

    async fn apply(&self, client: &Client, manager: &str, files: &BTreeMap<String, Secret>) -> Result<(), CallError> {
        ensure_namespace(client, &self.namespace).await?;
        let data: BTreeMap<&str, &str> = files.iter().map(|(key, value)| (key.as_str(), value.expose())).collect();
        let object = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": { "name": self.name, "labels": { "app.kubernetes.io/name": "oxide-controller" } },
            "type": "Opaque",
            "stringData": data,
        });
        let api: Api<Object> = Api::namespaced(client.clone(), &self.namespace);
        call(api.patch(&self.name, &PatchParams::apply(manager).force(), &Patch::Apply(object))).await.map(drop)
    }
}

/// Has the namespace be there.
pub(crate) async fn ensure_namespace(client: &Client, name: &str) -> Result<(), CallError> {
    let api: Api<Namespace> = Api::all(client.clone());
    match call(api.get_metadata(name)).await {
        Err(error) if error.is_absent() => {}
        outcome => return outcome.map(drop),
    }
    let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    match call(api.create(&Default::default(), &Namespace { metadata, ..Namespace::default() })).await {
        Err(error) if error.is_conflict() => Ok(()),
        outcome => outcome.map(drop),
    }
}
