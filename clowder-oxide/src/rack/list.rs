//! What there is in the project, all pages of it.

use super::Rack;
use crate::error::OxideError;
use futures::TryStreamExt;
use oxide::types;
use oxide::{
    ClientAffinityExt, ClientDisksExt, ClientFloatingIpsExt, ClientImagesExt, ClientInstancesExt, ClientProjectsExt,
    ClientSnapshotsExt, ClientVpcsExt,
};
use std::net::IpAddr;
use uuid::Uuid;

/// How many things a page has.
const PAGE: u32 = 100;

/// All pages of a list of the project's.
macro_rules! all {
    ($rack:expr, $what:literal, $list:ident) => {
        $rack
            .ask(concat!("list ", $what), || {
                $rack.client.$list().project($rack.project.clone()).limit(PAGE).stream().try_collect()
            })
            .await
    };
}

impl Rack {
    /// The project; `None` where there is none of its name.
    pub(crate) async fn find_project(&self) -> Result<Option<types::Project>, OxideError> {
        let view =
            self.ask("look at the project", || self.client.project_view().project(self.project.clone()).send()).await;
        match view {
            Ok(project) => Ok(Some(project.into_inner())),
            Err(OxideError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn instances(&self) -> Result<Vec<types::Instance>, OxideError> {
        all!(self, "machines", instance_list)
    }

    pub(crate) async fn disks(&self) -> Result<Vec<types::Disk>, OxideError> {
        all!(self, "disks", disk_list)
    }

    /// Images of the project.
    pub(crate) async fn images(&self) -> Result<Vec<types::Image>, OxideError> {
        all!(self, "images", image_list)
    }

    /// Images that all projects of the silo can use.
    pub(crate) async fn silo_images(&self) -> Result<Vec<types::Image>, OxideError> {
        self.ask("list the silo's images", || self.client.image_list().limit(PAGE).stream().try_collect()).await
    }

    pub(crate) async fn snapshots(&self) -> Result<Vec<types::Snapshot>, OxideError> {
        all!(self, "snapshots", snapshot_list)
    }

    pub(crate) async fn floating_ips(&self) -> Result<Vec<types::FloatingIp>, OxideError> {
        all!(self, "floating IPs", floating_ip_list)
    }

    pub(crate) async fn groups(&self) -> Result<Vec<types::AntiAffinityGroup>, OxideError> {
        all!(self, "anti-affinity groups", anti_affinity_group_list)
    }

    /// All rules of the VPC's firewall.
    pub(crate) async fn firewall(&self) -> Result<Vec<types::VpcFirewallRule>, OxideError> {
        let rules = self
            .ask("list rules of the firewall", || {
                self.client.vpc_firewall_rules_view().project(self.project.clone()).vpc(self.vpc.clone()).send()
            })
            .await?;
        Ok(rules.into_inner().rules)
    }

    /// The address that an instance has inside its VPC; `None` where it has none yet, or is gone.
    pub(crate) async fn address(&self, instance: Uuid) -> Result<Option<IpAddr>, OxideError> {
        let interfaces: Result<Vec<types::InstanceNetworkInterface>, _> = self
            .ask("list network interfaces of a machine", || {
                let list = self.client.instance_network_interface_list();
                list.instance(types::NameOrId::Id(instance)).limit(PAGE).stream().try_collect()
            })
            .await;
        match interfaces {
            Ok(interfaces) => {
                let primary = interfaces.into_iter().find(|interface| interface.primary);
                Ok(primary.map(|interface| match interface.ip_stack {
                    types::PrivateIpStack::V4(v4) | types::PrivateIpStack::DualStack { v4, .. } => IpAddr::V4(v4.ip),
                    types::PrivateIpStack::V6(v6) => IpAddr::V6(v6.ip),
                }))
            }
            Err(OxideError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
