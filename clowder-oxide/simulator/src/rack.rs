//! The rack: all that there is, and how it changes.

mod addresses;
mod disks;
mod dispatch;
mod firewall;
mod floating_ips;
mod groups;
mod images;
mod imports;
mod instances;
mod interfaces;
mod lifecycle;
mod networks;
mod projects;
mod quotas;
mod silo;
mod sleds;

use crate::error::StartError;
use crate::ids::Ids;
use crate::options::{Options, Quotas, Times};
use crate::page::Row;
use crate::records::{Disk, Group, Image, Instance, Snapshot, Vpc};
use crate::refusal::Refusal;
use crate::request::Request;
use crate::schedule::Schedule;
use crate::table::{Resource, Table};
use chrono::{DateTime, Utc};
use ipnet::Ipv4Net;
use lifecycle::Due;
use oxide::types::{self, NameOrId};
use uuid::Uuid;

/// Bytes of a GiB.
const GIB: u64 = 1 << 30;

/// All that there is on a rack, at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Rack {
    pub(crate) schedule: Schedule<Due>,
    pub(crate) times: Times,
    pub(crate) projects: Table<types::Project>,
    pub(crate) instances: Table<Instance>,
    pub(crate) disks: Table<Disk>,
    pub(crate) snapshots: Table<Snapshot>,
    pub(crate) images: Table<Image>,
    pub(crate) floating_ips: Table<types::FloatingIp>,
    pub(crate) vpcs: Table<Vpc>,
    pub(crate) groups: Table<Group>,
    subnets: Table<types::VpcSubnet>,
    ssh_keys: Table<types::SshKey>,
    pools: Table<types::SiloIpPool>,
    user: types::CurrentUser,
    quotas: Quotas,
    sleds: u32,
    external_ips: Ipv4Net,
    private_ips: Ipv4Net,
    ids: Ids,
}

impl Rack {
    pub(crate) fn new(options: &Options) -> Result<Self, StartError> {
        let mut ids = Ids::new(options.seed);
        let schedule = Schedule::default();
        let mut rack = Self {
            user: silo::user(&mut ids, schedule.now())?,
            schedule,
            times: options.times,
            projects: Table::default(),
            instances: Table::default(),
            disks: Table::default(),
            snapshots: Table::default(),
            images: Table::default(),
            floating_ips: Table::default(),
            vpcs: Table::default(),
            groups: Table::default(),
            subnets: Table::default(),
            ssh_keys: Table::default(),
            pools: Table::default(),
            quotas: options.quotas,
            sleds: options.sleds,
            external_ips: options.external_ips,
            private_ips: options.private_ips,
            ids,
        };
        rack.furnish(options)?;
        Ok(rack)
    }

    fn now(&self) -> DateTime<Utc> {
        self.schedule.now()
    }

    /// The project that a request is about.
    fn project(&self, request: &Request) -> Result<Uuid, Refusal> {
        let Some(project) = request.query("project")? else {
            return Err(Refusal::Malformed("unable to parse query string: missing field `project`".to_owned()));
        };
        self.find_project(&project)
    }

    fn find_project(&self, project: &NameOrId) -> Result<Uuid, Refusal> {
        match project {
            NameOrId::Id(id) => self.projects.get(*id).map(|project| project.id),
            NameOrId::Name(name) => self.projects.named(None, name).map(|project| project.id),
        }
    }

    /// The one that a path means: an id alone, or a name and a project.
    fn in_path<'a, T: Resource>(
        &self,
        table: &'a Table<T>,
        request: &Request,
        variable: &str,
    ) -> Result<&'a T, Refusal> {
        self.pick(table, variable, &request.path(variable)?, request.query("project")?.as_ref())
    }

    fn pick<'a, T: Resource>(
        &self,
        table: &'a Table<T>,
        what: &str,
        item: &NameOrId,
        project: Option<&NameOrId>,
    ) -> Result<&'a T, Refusal> {
        match (item, project) {
            (NameOrId::Id(id), None) => table.get(*id),
            (NameOrId::Name(name), Some(project)) => table.named(Some(self.find_project(project)?), name),
            (NameOrId::Id(_), Some(_)) => {
                Err(Refusal::invalid(format!("when providing {what} as an ID project should not be specified")))
            }
            (NameOrId::Name(_), None) => {
                Err(Refusal::invalid(format!("{what} should either be UUID or project should be specified")))
            }
        }
    }
}

/// A row of a list.
fn row<T: Resource, V>(item: &T, view: V) -> Row<V> {
    (item.name().to_owned(), item.id(), view)
}

/// A name that the rack gives by itself.
fn own_name(name: &str) -> Result<types::Name, StartError> {
    name.parse().map_err(|_| StartError::Name(name.to_owned()))
}
