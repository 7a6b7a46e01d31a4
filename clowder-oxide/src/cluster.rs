//! What a cluster on a rack is to be: its servers, its pools of workers, the images they start from.

use crate::machine::PoolPrefix;
use crate::owner::{Part, Tag};
use crate::pool::{InvalidPool, MachinePool, PoolSpec};
use crate::sizes::Sizes;
use clowder_core::infra::PoolName;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use url::Url;

/// The longest name of a cluster, in characters.
const MAX_ID: usize = 32;

/// The most servers: more than these make etcd slower and no safer.
pub const MAX_SERVERS: u32 = 7;

/// Tells the cluster's things on a rack from all others: 1 to 32 lower-case letters, digits and `-`, a letter first and no
/// `-` last.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(String);

impl ClusterId {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ClusterId {
    type Err = InvalidCluster;

    fn from_str(text: &str) -> Result<Self, InvalidCluster> {
        if is_name(text) && text.len() <= MAX_ID {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidCluster::Id(text.chars().take(80).collect()))
        }
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What happens where the project does not exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissingProject {
    /// It is created.
    Create,
    /// It is said, and nothing is done.
    #[default]
    Refuse,
}

/// The network that machines are in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Its VPC.
    pub vpc: String,
    /// Its subnet of that VPC.
    pub subnet: String,
}

impl Default for Network {
    /// The VPC and the subnet that a project is created with.
    fn default() -> Self {
        Self { vpc: "default".to_owned(), subnet: "default".to_owned() }
    }
}

/// An address that is reached from outside the rack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExternalIp {
    /// None: machines still reach out through the rack's translation of addresses.
    #[default]
    None,
    /// One of each machine's own, as long as it lives. Servers have a floating one besides, for the API server.
    Ephemeral,
}

/// The image that machines start from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageSpec {
    /// Its name in the project or in the silo.
    pub name: String,
    /// Where it is imported from when there is none of this name.
    pub source: Option<ImageSource>,
}

/// Where an image is imported from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageSource {
    /// A raw disk image, by `http` or `https`.
    pub url: Url,
    /// Bytes of a block of the disk it becomes: 512, 2048 or 4096.
    pub block_size: u16,
}

/// The machines of the control plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Servers {
    /// How many: 1, 3, 5 or 7, so that a majority is well defined.
    pub count: u32,
    /// What each is like; its limits are not looked at.
    pub machines: PoolSpec,
    /// What each starts from.
    pub image: ImageSpec,
    /// How they are reached from outside.
    pub external_ip: ExternalIp,
}

/// A pool of workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerPool {
    /// What its machines are like, and how many there may be.
    pub machines: PoolSpec,
    /// What each starts from.
    pub image: ImageSpec,
    /// How they are reached from outside.
    pub external_ip: ExternalIp,
    /// Labels of its nodes.
    pub labels: BTreeMap<String, String>,
}

/// A cluster as somebody writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterSpec {
    /// What its things on the rack are marked with.
    pub id: ClusterId,
    /// The project they are in.
    pub project: String,
    /// What happens where there is no such project.
    pub missing_project: MissingProject,
    /// The network of all machines.
    pub network: Network,
    /// Public keys, as the rack names them, that every machine's user takes; none by default.
    pub ssh_keys: Vec<String>,
    /// The control plane.
    pub servers: Servers,
    /// The pools of workers.
    pub pools: BTreeMap<PoolName, WorkerPool>,
}

/// A cluster that can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    spec: ClusterSpec,
    servers: MachinePool,
    pools: BTreeMap<PoolName, MachinePool>,
}

/// Why there can be no such cluster.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidCluster {
    /// An unusable name of a cluster.
    #[error("cluster {0:?}: take 1 to {MAX_ID} lower-case letters, digits and '-', a letter first and no '-' last")]
    Id(String),
    /// A name that the rack would not take.
    #[error("{what} {name:?}: take 1 to 63 lower-case letters, digits and '-', a letter first and no '-' last")]
    Name {
        /// Of what.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A number of servers without a clear majority.
    #[error("{0} servers: take an odd number, 1 to {MAX_SERVERS}")]
    Servers(u32),
    /// Machines that Oxide would not make.
    #[error("{part}: {why}")]
    Machines {
        /// Whose.
        part: String,
        /// What is wrong.
        why: InvalidPool,
    },
    /// Two kinds of machines whose names begin alike.
    #[error("two kinds of machines have the prefix {0}: give each its own")]
    SamePrefix(PoolPrefix),
    /// A source that images cannot be read from.
    #[error("image {image}: {why}")]
    Image {
        /// Its name.
        image: String,
        /// What is wrong.
        why: &'static str,
    },
    /// One name of an image with two sources.
    #[error("image {0} is given two sources: name two images")]
    TwoSources(String),
}

impl Cluster {
    /// The cluster, if it can be.
    ///
    /// # Errors
    /// [`InvalidCluster`], for the first thing that is wrong.
    pub fn new(spec: ClusterSpec) -> Result<Self, InvalidCluster> {
        let count = spec.servers.count;
        if count.is_multiple_of(2) || count > MAX_SERVERS {
            return Err(InvalidCluster::Servers(count));
        }
        check_name("project", &spec.project)?;
        check_name("VPC", &spec.network.vpc)?;
        check_name("subnet", &spec.network.subnet)?;
        spec.ssh_keys.iter().try_for_each(|key| check_name("SSH key", key))?;

        let servers = PoolSpec { min: count, max: count, ..spec.servers.machines.clone() };
        let servers = machines("servers", servers)?;
        let mut pools = BTreeMap::new();
        for (name, pool) in &spec.pools {
            check_name("pool", &name.0)?;
            pools.insert(name.clone(), machines(&format!("pool {name}"), pool.machines.clone())?);
        }
        let mut prefixes = BTreeSet::new();
        for pool in std::iter::once(&servers).chain(pools.values()) {
            if !prefixes.insert(&pool.spec().prefix) {
                return Err(InvalidCluster::SamePrefix(pool.spec().prefix.clone()));
            }
        }
        let cluster = Self { servers, pools, spec };
        cluster.check_images()?;
        Ok(cluster)
    }

    fn check_images(&self) -> Result<(), InvalidCluster> {
        let mut sources = BTreeMap::new();
        for image in self.images() {
            check_name("image", &image.name)?;
            if *sources.entry(&image.name).or_insert(&image.source) != &image.source {
                return Err(InvalidCluster::TwoSources(image.name.clone()));
            }
            let Some(source) = &image.source else { continue };
            let refused = |why| Err(InvalidCluster::Image { image: image.name.clone(), why });
            if !matches!(source.url.scheme(), "http" | "https") {
                return refused("its source is to be an http or https URL");
            }
            if ![512, 2048, 4096].contains(&source.block_size) {
                return refused("its block size is to be 512, 2048 or 4096");
            }
        }
        Ok(())
    }

    /// As it was written.
    pub fn spec(&self) -> &ClusterSpec {
        &self.spec
    }

    /// The machines of the control plane.
    pub fn servers(&self) -> &MachinePool {
        &self.servers
    }

    /// The pools of workers.
    pub fn pools(&self) -> &BTreeMap<PoolName, MachinePool> {
        &self.pools
    }

    /// What machines of a part are like; `None` where the part has none, or is none of the cluster's.
    pub(crate) fn machines(&self, part: &Part) -> Option<&MachinePool> {
        match part {
            Part::Servers => Some(&self.servers),
            Part::Pool(pool) => self.pools.get(pool),
            Part::Image | Part::Network => None,
        }
    }

    /// How many machines there shall be of a pool: what is kept, within its limits, or its fewest.
    pub(crate) fn desired(&self, sizes: &Sizes, pool: &PoolName) -> u32 {
        let Some(spec) = self.pools.get(pool).map(MachinePool::spec) else { return 0 };
        sizes.get(pool).copied().unwrap_or(spec.min).clamp(spec.min, spec.max)
    }

    /// The parts that have machines: the servers, then the pools.
    pub(crate) fn parts(&self) -> impl Iterator<Item = Part> {
        std::iter::once(Part::Servers).chain(self.pools.keys().cloned().map(Part::Pool))
    }

    /// Whether what bears this tag is that part of this cluster.
    pub(crate) fn owns(&self, tag: Option<&Tag>, part: &Part) -> bool {
        tag.is_some_and(|tag| tag.cluster == self.spec.id && tag.part == *part)
    }

    /// The image that machines of a part start from.
    pub(crate) fn image_of(&self, part: &Part) -> Option<&ImageSpec> {
        match part {
            Part::Servers => Some(&self.spec.servers.image),
            Part::Pool(pool) => self.spec.pools.get(pool).map(|pool| &pool.image),
            Part::Image | Part::Network => None,
        }
    }

    /// The images that machines start from; the servers' first, and as often as they are named.
    pub fn images(&self) -> impl Iterator<Item = &ImageSpec> {
        std::iter::once(&self.spec.servers.image).chain(self.spec.pools.values().map(|pool| &pool.image))
    }
}

fn machines(part: &str, spec: PoolSpec) -> Result<MachinePool, InvalidCluster> {
    MachinePool::new(spec).map_err(|why| InvalidCluster::Machines { part: part.to_owned(), why })
}

/// Whether Oxide takes it as a name, capitals left out.
fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && !text.ends_with('-')
}

fn check_name(what: &'static str, name: &str) -> Result<(), InvalidCluster> {
    if is_name(name) && name.len() <= 63 {
        Ok(())
    } else {
        Err(InvalidCluster::Name { what, name: name.chars().take(80).collect() })
    }
}

#[cfg(test)]
pub(crate) mod tests;
