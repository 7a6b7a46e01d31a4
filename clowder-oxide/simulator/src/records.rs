//! What a rack keeps of each thing, beyond what the API shows.

use crate::refusal::Kind;
use crate::table::Resource;
use bytes::Bytes;
use oxide::types;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;
use uuid::Uuid;

/// What cloud-init is given. `Debug` prints its size alone: it has secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct UserData(Arc<Vec<u8>>);

impl UserData {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self(Arc::new(bytes))
    }

    /// As it was before base64.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// As text, with what is not UTF-8 replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }
}

impl fmt::Debug for UserData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserData({} bytes)", self.0.len())
    }
}

/// What was written to a disk: chunks by their offset.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Content(Arc<BTreeMap<u64, Bytes>>);

impl Content {
    pub(crate) fn write(&mut self, offset: u64, data: Bytes) {
        Arc::make_mut(&mut self.0).insert(offset, data);
    }

    /// Bytes that were written; zeros between chunks are not.
    pub fn written(&self) -> u64 {
        self.0.values().map(|chunk| chunk.len() as u64).sum()
    }

    /// The disk up to the end of its last chunk, zeros where nothing was written.
    pub fn read(&self) -> Vec<u8> {
        let mut whole = Vec::new();
        for (offset, chunk) in self.0.iter() {
            let start = usize::try_from(*offset).unwrap_or(usize::MAX);
            if whole.len() < start + chunk.len() {
                whole.resize(start + chunk.len(), 0);
            }
            whole[start..start + chunk.len()].copy_from_slice(chunk);
        }
        whole
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Content({} bytes)", self.written())
    }
}

/// A disk.
#[derive(Clone, Debug)]
pub struct Disk {
    /// As the API shows it.
    pub view: types::Disk,
    /// What was imported into it.
    pub content: Content,
}

/// A snapshot of a disk.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// As the API shows it.
    pub view: types::Snapshot,
    /// What the disk held.
    pub content: Content,
    pub(crate) block_size: types::BlockSize,
}

/// An image, of a project or of the silo.
#[derive(Clone, Debug)]
pub struct Image {
    /// As the API shows it.
    pub view: types::Image,
    /// What it holds.
    pub content: Content,
}

/// An instance.
#[derive(Clone, Debug)]
pub struct Instance {
    /// As the API shows it.
    pub view: types::Instance,
    /// What its cloud-init is given.
    pub user_data: UserData,
    /// The public keys that it is given.
    pub ssh_public_keys: Vec<types::SshKey>,
    /// Its network interfaces, the primary one first.
    pub network_interfaces: Vec<types::InstanceNetworkInterface>,
    /// Its ephemeral external address.
    pub ephemeral_ip: Option<Ipv4Addr>,
    /// Which sled it is on.
    pub sled: Option<u32>,
    /// How often its guest has begun to run.
    pub boots: u64,
    /// Whether its guest runs now. An instance can be `running` without (see [`Fault::NoSled`](crate::Fault::NoSled)).
    pub is_up: bool,
    pub(crate) snat: Option<Snat>,
    /// Counts changes of state: what was planned before the last one does not happen.
    pub(crate) generation: u64,
    /// What goes wrong with the first start of a new one.
    pub(crate) fate: Option<Fate>,
}

/// What goes wrong when an instance starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Stuck,
    NoSled,
    LeftStopped,
    Fails,
}

/// A quarter of an address, for connections from the instance to the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Snat {
    pub(crate) ip: Ipv4Addr,
    pub(crate) first_port: u16,
}

/// A VPC.
#[derive(Clone, Debug)]
pub struct Vpc {
    /// As the API shows it.
    pub view: types::Vpc,
    /// Its firewall's rules, by name.
    pub firewall_rules: Vec<types::VpcFirewallRule>,
}

/// An anti-affinity group.
#[derive(Clone, Debug)]
pub struct Group {
    /// As the API shows it.
    pub view: types::AntiAffinityGroup,
    /// Ids of its instances.
    pub members: BTreeSet<Uuid>,
}

macro_rules! resources {
    ($($row:ty: $kind:ident, |$it:ident| $view:expr, $parent:expr;)+) => {$(
        impl Resource for $row {
            const KIND: Kind = Kind::$kind;

            fn id(&self) -> Uuid {
                let $it = self;
                $view.id
            }

            fn name(&self) -> &str {
                let $it = self;
                &$view.name
            }

            fn parent(&self) -> Option<Uuid> {
                let parent: fn(&Self) -> Option<Uuid> = $parent;
                parent(self)
            }
        }
    )+};
}

// How each is shown, and what it is in.
resources! {
    types::Project: Project, |row| row, |_| None;
    types::FloatingIp: FloatingIp, |row| row, |row| Some(row.project_id);
    types::VpcSubnet: Subnet, |row| row, |row| Some(row.vpc_id);
    types::SshKey: SshKey, |row| row, |_| None;
    types::SiloIpPool: IpPool, |row| row, |_| None;
    Disk: Disk, |row| row.view, |row| Some(row.view.project_id);
    Snapshot: Snapshot, |row| row.view, |row| Some(row.view.project_id);
    Image: Image, |row| row.view, |row| row.view.project_id;
    Instance: Instance, |row| row.view, |row| Some(row.view.project_id);
    Vpc: Vpc, |row| row.view, |row| Some(row.view.project_id);
    Group: AntiAffinityGroup, |row| row.view, |row| Some(row.view.project_id);
}
