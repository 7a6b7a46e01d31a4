//! What is changed in the project. Whatever exists is named by its identity, so that what was looked at is what is changed.

use super::Rack;
use crate::error::OxideError;
use crate::request::name;
use oxide::types::{self, NameOrId};
use oxide::{
    ClientAffinityExt, ClientDisksExt, ClientFloatingIpsExt, ClientImagesExt, ClientInstancesExt, ClientProjectsExt,
    ClientSnapshotsExt, ClientVpcsExt,
};
use uuid::Uuid;

impl Rack {
    pub(crate) async fn create_project(&self, body: types::ProjectCreate) -> Result<(), OxideError> {
        self.change("create the project", self.client.project_create().body(body).send()).await.map(drop)
    }

    pub(crate) async fn create_instance(&self, body: types::InstanceCreate) -> Result<(), OxideError> {
        let what = format!("create machine {}", *body.name);
        let call = self.client.instance_create().project(self.project.clone()).body(body);
        self.change(&what, call.send()).await.map(drop)
    }

    pub(crate) async fn start_instance(&self, id: Uuid) -> Result<(), OxideError> {
        self.change("start a machine", self.client.instance_start().instance(NameOrId::Id(id)).send()).await.map(drop)
    }

    pub(crate) async fn stop_instance(&self, id: Uuid) -> Result<(), OxideError> {
        self.change("stop a machine", self.client.instance_stop().instance(NameOrId::Id(id)).send()).await.map(drop)
    }

    /// One that is gone is fine.
    pub(crate) async fn delete_instance(&self, id: Uuid) -> Result<(), OxideError> {
        gone(self.change("delete a machine", self.client.instance_delete().instance(NameOrId::Id(id)).send()).await)
    }

    /// One that is gone is fine.
    pub(crate) async fn delete_disk(&self, id: Uuid) -> Result<(), OxideError> {
        gone(self.change("delete a disk", self.client.disk_delete().disk(NameOrId::Id(id)).send()).await)
    }

    /// One that is gone is fine.
    pub(crate) async fn delete_snapshot(&self, id: Uuid) -> Result<(), OxideError> {
        gone(self.change("delete a snapshot", self.client.snapshot_delete().snapshot(NameOrId::Id(id)).send()).await)
    }

    pub(crate) async fn create_image(&self, body: types::ImageCreate) -> Result<(), OxideError> {
        let what = format!("create image {}", *body.name);
        let call = self.client.image_create().project(self.project.clone()).body(body);
        self.change(&what, call.send()).await.map(drop)
    }

    pub(crate) async fn create_floating_ip(&self, body: types::FloatingIpCreate) -> Result<(), OxideError> {
        let call = self.client.floating_ip_create().project(self.project.clone()).body(body);
        self.change("create a floating IP", call.send()).await.map(drop)
    }

    pub(crate) async fn attach_floating_ip(&self, id: Uuid, instance: Uuid) -> Result<(), OxideError> {
        let body =
            types::FloatingIpAttach { kind: types::FloatingIpParentKind::Instance, parent: NameOrId::Id(instance) };
        let call = self.client.floating_ip_attach().floating_ip(NameOrId::Id(id)).body(body);
        self.change("attach the floating IP", call.send()).await.map(drop)
    }

    pub(crate) async fn detach_floating_ip(&self, id: Uuid) -> Result<(), OxideError> {
        let call = self.client.floating_ip_detach().floating_ip(NameOrId::Id(id));
        self.change("detach the floating IP", call.send()).await.map(drop)
    }

    pub(crate) async fn create_group(&self, body: types::AntiAffinityGroupCreate) -> Result<(), OxideError> {
        let call = self.client.anti_affinity_group_create().project(self.project.clone()).body(body);
        self.change("create an anti-affinity group", call.send()).await.map(drop)
    }

    /// One that is gone is fine.
    pub(crate) async fn delete_floating_ip(&self, id: Uuid) -> Result<(), OxideError> {
        let call = self.client.floating_ip_delete().floating_ip(NameOrId::Id(id));
        gone(self.change("delete the floating IP", call.send()).await)
    }

    /// One that is gone is fine.
    pub(crate) async fn delete_group(&self, group: &str) -> Result<(), OxideError> {
        let call = self.client.anti_affinity_group_delete().project(self.project.clone());
        let call = call.anti_affinity_group(NameOrId::Name(name(group)?));
        gone(self.change("delete an anti-affinity group", call.send()).await)
    }

    /// Puts these in place of all rules there are.
    pub(crate) async fn set_firewall(&self, body: types::VpcFirewallRuleUpdateParams) -> Result<(), OxideError> {
        let call =
            self.client.vpc_firewall_rules_update().project(self.project.clone()).vpc(self.vpc.clone()).body(body);
        self.change("set rules of the firewall", call.send()).await.map(drop)
    }
}

fn gone(outcome: Result<(), OxideError>) -> Result<(), OxideError> {
    match outcome {
        Err(OxideError::NotFound { .. }) => Ok(()),
        outcome => outcome,
    }
}
