//! Who asks, and what the silo has.

use super::{Rack, own_name, row};
use crate::answer::Answer;
use crate::error::StartError;
use crate::ids::Ids;
use crate::options::{Options, SiloImage};
use crate::page::page;
use crate::records::{Content, Image};
use crate::refusal::Refusal;
use crate::request::Request;
use chrono::{DateTime, Utc};
use oxide::types::{self, NameOrId};

/// Bytes of a block of the silo's images.
const BLOCK: i64 = 512;

/// The one user.
pub(super) fn user(ids: &mut Ids, now: DateTime<Utc>) -> Result<types::CurrentUser, StartError> {
    Ok(types::CurrentUser {
        display_name: "operator".to_owned(),
        fleet_viewer: false,
        id: ids.next(),
        silo_admin: false,
        silo_id: ids.next(),
        silo_name: own_name("silo")?,
        time_created: now,
        time_modified: now,
    })
}

impl Rack {
    /// What is there from the start.
    pub(super) fn furnish(&mut self, options: &Options) -> Result<(), StartError> {
        let now = self.now();
        // The tables are empty, so only a name that is given twice can be in the way.
        let twice = |name: &str| StartError::Name(name.to_owned());
        let pool = types::SiloIpPool {
            description: "default".to_owned(),
            id: self.ids.next(),
            ip_version: types::IpVersion::V4,
            is_default: true,
            name: own_name("default")?,
            pool_type: types::IpPoolType::Unicast,
            time_created: now,
            time_modified: now,
        };
        self.pools.insert(pool).map_err(|_| twice("default"))?;
        for name in &options.projects {
            self.make_project(own_name(name)?, String::new()).map_err(|_| twice(name))?;
        }
        for SiloImage { name, size } in &options.silo_images {
            let view = types::Image {
                block_size: BLOCK.try_into().map_err(|_| twice(name))?,
                description: name.clone(),
                digest: None,
                id: self.ids.next(),
                name: own_name(name)?,
                os: "debian".to_owned(),
                project_id: None,
                size: types::ByteCount(*size),
                time_created: now,
                time_modified: now,
                version: "1".to_owned(),
            };
            self.images.insert(Image { view, content: Content::default() }).map_err(|_| twice(name))?;
        }
        for (index, public_key) in options.ssh_keys.iter().enumerate() {
            let name = format!("key-{index}");
            let key = types::SshKey {
                description: String::new(),
                id: self.ids.next(),
                name: own_name(&name)?,
                public_key: public_key.clone(),
                silo_user_id: self.user.id,
                time_created: now,
                time_modified: now,
            };
            self.ssh_keys.insert(key).map_err(|_| twice(&name))?;
        }
        Ok(())
    }

    pub(super) fn ping() -> Result<Answer, Refusal> {
        Answer::ok(&types::Ping { status: types::PingStatus::Ok })
    }

    pub(super) fn current_user_view(&self) -> Result<Answer, Refusal> {
        Answer::ok(&self.user)
    }

    pub(super) fn current_user_ssh_key_list(&self, request: &Request) -> Result<Answer, Refusal> {
        page(request, self.ssh_keys.iter().map(|key| row(key, key)))
    }

    pub(super) fn utilization_view(&self) -> Result<Answer, Refusal> {
        Answer::ok(&types::Utilization {
            capacity: types::VirtualResourceCounts {
                cpus: i64::from(self.quotas.cpus),
                memory: types::ByteCount(self.quotas.memory),
                storage: types::ByteCount(self.quotas.storage),
            },
            provisioned: self.provisioned(),
        })
    }

    pub(super) fn ip_pool_list(&self, request: &Request) -> Result<Answer, Refusal> {
        page(request, self.pools.iter().map(|pool| row(pool, pool)))
    }

    pub(super) fn ip_pool_view(&self, request: &Request) -> Result<Answer, Refusal> {
        Answer::ok(self.find_pool(&request.path("pool")?)?)
    }

    pub(super) fn find_pool(&self, pool: &NameOrId) -> Result<&types::SiloIpPool, Refusal> {
        match pool {
            NameOrId::Id(id) => self.pools.get(*id),
            NameOrId::Name(name) => self.pools.named(None, name),
        }
    }

    /// The keys that an instance is given: all of the user's where it does not say.
    pub(super) fn chosen_keys(&self, chosen: Option<&[NameOrId]>) -> Result<Vec<types::SshKey>, Refusal> {
        match chosen {
            None => Ok(self.ssh_keys.iter().cloned().collect()),
            Some(keys) => keys
                .iter()
                .map(|key| match key {
                    NameOrId::Id(id) => self.ssh_keys.get(*id).cloned(),
                    NameOrId::Name(name) => self.ssh_keys.named(None, name).cloned(),
                })
                .collect(),
        }
    }
}
