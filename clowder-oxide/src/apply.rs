//! Takes one step.

use crate::bootstrap::{ClusterSetup, Role, UserDataError, user_data};
use crate::cluster::{Cluster, ExternalIp};
use crate::error::OxideError;
use crate::limits::Limits;
use crate::machine::MachineName;
use crate::nodes::{ClusterError, ClusterNodes, Drained};
use crate::observe::Seen;
use crate::owner::{Part, Tag};
use crate::progress::{Event, Progress};
use crate::rack::Rack;
use crate::request;
use crate::request::instance::NewMachine;
use crate::step::Step;
use clowder_core::BoxError;
use std::collections::BTreeMap;
use std::net::IpAddr;
use uuid::Uuid;

/// Why a step was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StepError {
    /// The rack did not do it.
    #[error(transparent)]
    Rack(#[from] OxideError),
    /// The cluster did not do it.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// There is nothing that the machine could be told to run.
    #[error("machine {machine} cannot be set up")]
    UserData {
        /// Which.
        machine: MachineName,
        /// Why.
        #[source]
        source: UserDataError,
    },
    /// It broke off.
    #[error("it broke off, which is a fault of this program")]
    Broken(#[source] BoxError),
    /// Something of somebody else's has the name.
    #[error("firewall rule {name} is not the cluster's: rename or delete it")]
    Foreign {
        /// The name.
        name: String,
    },
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was taken.
    Done,
    /// Pods are still on the node.
    Draining,
}

/// What steps are taken with.
#[derive(Clone, Copy)]
pub(crate) struct Hands<'a> {
    pub(crate) rack: &'a Rack,
    pub(crate) cluster: &'a Cluster,
    pub(crate) setup: &'a ClusterSetup,
    pub(crate) nodes: &'a dyn ClusterNodes,
    pub(crate) limits: &'a Limits,
    pub(crate) progress: &'a dyn Progress,
    pub(crate) seen: &'a Seen,
}

impl Hands<'_> {
    pub(crate) async fn take(&self, step: &Step) -> Result<Outcome, StepError> {
        let (rack, spec) = (self.rack, self.cluster.spec());
        match step {
            Step::CreateProject { .. } => rack.create_project(request::network::project(spec)?).await?,
            Step::CreateImportDisk(image) => rack.create_import_disk(spec, image).await?,
            Step::WriteImage { image, disk } => {
                let tell = |progress| self.progress.tell(&Event::Image(progress));
                rack.write_image(spec, image, *disk, self.limits.parallel.blocks, &tell).await?;
            }
            Step::CreateImage { image, snapshot } => {
                rack.create_image(request::image::image(spec, image, *snapshot)?).await?;
            }
            Step::StopImport { disk, .. } => rack.stop_import(*disk).await?,
            Step::AbandonImport { disk, .. } => rack.abandon_import(*disk).await?,
            Step::DeleteSnapshot { snapshot, .. } => rack.delete_snapshot(*snapshot).await?,
            Step::DeleteDisk { disk, .. } => rack.delete_disk(*disk).await?,
            Step::CreateFloatingIp { .. } => rack.create_floating_ip(request::network::floating_ip(spec)?).await?,
            Step::CreateGroup { .. } => rack.create_group(request::network::group(spec)?).await?,
            Step::SetFirewall { servers } => self.set_firewall(servers).await?,
            Step::AttachFloatingIp { id, instance, .. } => rack.attach_floating_ip(*id, *instance).await?,
            Step::DetachFloatingIp { id, .. } => rack.detach_floating_ip(*id).await?,
            Step::CreateMachine { machine, part, image, joins } => {
                self.create_machine(machine, part, *image, *joins).await?;
            }
            Step::Start(target) => rack.start_instance(target.id).await?,
            Step::Stop(target) => rack.stop_instance(target.id).await?,
            Step::Delete(target) => rack.delete_instance(target.id).await?,
            Step::Cordon(node) => self.nodes.cordon(node).await?,
            Step::Drain(node) => match self.nodes.drain(node).await? {
                Drained::Empty => {}
                Drained::Waiting { .. } => return Ok(Outcome::Draining),
            },
            Step::RemoveNode(node) => self.nodes.remove(node).await?,
        }
        Ok(Outcome::Done)
    }

    /// The list is read right before it is written: whoever changes it in between is overwritten, for the rack has no way to
    /// tell.
    async fn set_firewall(&self, servers: &[String]) -> Result<(), StepError> {
        let spec = self.cluster.spec();
        let ours = request::firewall::api_rule(spec, servers.iter().cloned())?;
        let rules = self.rack.firewall().await?;
        let of_name = rules.iter().find(|rule| rule.name == ours.name);
        let tag = of_name.map(|rule| Tag::of(&rule.description).ok());
        if tag.is_some_and(|tag| !self.cluster.owns(tag.as_ref(), &Part::Network)) {
            return Err(StepError::Foreign { name: ours.name.to_string() });
        }
        Ok(self.rack.set_firewall(request::firewall::with_rule(rules, &ours)).await?)
    }

    async fn create_machine(
        &self,
        machine: &MachineName,
        part: &Part,
        image: Uuid,
        joins: Option<IpAddr>,
    ) -> Result<(), StepError> {
        let Some(pool) = self.cluster.machines(part) else { return Ok(()) };
        let spec = self.cluster.spec();
        let none = BTreeMap::new();
        let (external_ip, labels) = match part {
            Part::Pool(name) => match spec.pools.get(name) {
                Some(pool) => (pool.external_ip, &pool.labels),
                None => (ExternalIp::None, &none),
            },
            _ => (spec.servers.external_ip, &none),
        };
        let role = match (part, joins) {
            (Part::Servers, None) => Role::FirstServer,
            (Part::Servers, Some(join)) => Role::Server { join },
            (_, Some(join)) => Role::Agent { join },
            (_, None) => return Ok(()),
        };
        let data_disks: Vec<_> = pool.disks(machine).skip(1).map(|(disk, _)| disk).collect();
        let memory = u64::from(pool.spec().memory_gib) << 30;
        let user_data = user_data(&self.setup(), machine, memory, &role, &data_disks, labels)
            .map_err(|source| StepError::UserData { machine: machine.clone(), source })?;
        let body = request::instance::instance(&NewMachine {
            cluster: spec,
            part: part.clone(),
            name: machine,
            pool,
            external_ip,
            image,
            user_data: user_data.as_bytes(),
        })?;
        Ok(self.rack.create_instance(body).await?)
    }

    /// What machines share, the API server's address among the names that servers answer to.
    fn setup(&self) -> ClusterSetup {
        let mut setup = self.setup.clone();
        setup.server_names.extend(self.seen.own_floating_ip(self.cluster).map(|address| address.ip.to_string()));
        setup
    }
}
