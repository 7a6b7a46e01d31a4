//! What the command line comes to.

use crate::credentials::{Credentials, CredentialsError, Environment};
use crate::flags::{BootstrapFlags, ControlPlaneFlags, DEFAULT_IMAGE, DEFAULT_IMAGE_SOURCE, Flags, Switch, Typed};
use crate::flags::{Value, ValueError, WorkerFlags};
use crate::kubeconfig::{self, Place};
use crate::pools::{self, PoolsError};
use crate::state::{self, StateError};
use clowder_core::Secret;
use clowder_core::infra::PoolName;
use clowder_oxide::bootstrap::{InvalidTag, K3s, Tailscale};
use clowder_oxide::{
    Cluster, ClusterId, ClusterSpec, ExternalIp, ImageSource, ImageSpec, InvalidCluster, Limits, Login, MissingProject,
    Network, Parallel, PoolSpec, Servers, WorkerPool,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use url::Url;

/// GiB of a disk that somebody gives no size.
pub(crate) const DISK_GIB: u32 = 64;
/// The pool that the flags are about, and `/nodes/workers`.
pub(crate) const WORKERS: &str = "workers";
/// How many workers there may be where nobody says: one for each sled of a full rack.
const MOST_WORKERS: u32 = 32;

/// Why the command line comes to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    #[error(transparent)]
    Value(#[from] ValueError),
    #[error(transparent)]
    Pools(#[from] PoolsError),
    #[error(transparent)]
    Cluster(#[from] InvalidCluster),
    #[error(transparent)]
    State(#[from] StateError),
    #[error("--tailscale-tag")]
    Tag(#[from] InvalidTag),
    #[error("--user-ssh-public-key is not a public key: it is one line that begins with its type, such as ssh-ed25519")]
    SshKey,
    #[error("--worker-count {count} is not within --worker-min {min} and --worker-max {max}")]
    WorkerCount { count: u32, min: u32, max: u32 },
    #[error(
        "a tailnet takes --tailscale-auth-key, --tailscale-api-key and --tailscale-tailnet: --{missing} is not given"
    )]
    Tailnet { missing: &'static str },
    #[error("pool {WORKERS} is what the --worker flags are about: give the one in the file another name")]
    WorkersTwice,
}

/// An image, as flags and files name one.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) name: String,
    pub(crate) source: Option<Url>,
    pub(crate) blocksize: u16,
}

impl Image {
    pub(crate) fn spec(&self) -> ImageSpec {
        // An image of another name than Debian's is somebody's own, and Debian would not be it.
        let default = || (self.name == DEFAULT_IMAGE).then(|| DEFAULT_IMAGE_SOURCE.parse().ok()).flatten();
        let url = self.source.clone().or_else(default);
        let source = url.map(|url| ImageSource { url, block_size: self.blocksize });
        ImageSpec { name: self.name.clone(), source }
    }
}

/// A tailnet that the machines are in, and how its API is asked for them.
#[derive(Clone, Debug)]
pub(crate) struct TailnetSettings {
    pub(crate) machines: Tailscale,
    pub(crate) name: String,
    pub(crate) api: String,
    /// A controller in the cluster needs none.
    pub(crate) api_key: Option<Secret>,
}

/// What the command line comes to.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) login: Login,
    pub(crate) cluster: Cluster,
    pub(crate) limits: Limits,
    pub(crate) k3s: K3s,
    pub(crate) ssh_keys: Vec<String>,
    pub(crate) tailnet: Option<TailnetSettings>,
    /// How many workers there shall be, where somebody says.
    pub(crate) workers: Option<u32>,
    pub(crate) kubeconfig: Option<Place>,
    pub(crate) state: PathBuf,
}

impl Settings {
    /// Checks everything that can be checked here. `environment` is this process's.
    pub(crate) fn new(typed: &Typed, environment: Environment<'_>) -> Result<Self, SettingsError> {
        let flags = &typed.flags;
        let Credentials { url, token } = Credentials::find(&flags.rack, environment)?;
        let state = flags.controller.state_dir.clone().map_or_else(|| state::default_folder(environment), Ok)?;
        let home = environment("HOME").filter(|home| !home.is_empty());
        let path =
            flags.controller.kubeconfig.clone().or_else(|| home.map(|home| kubeconfig::default_path(Path::new(&home))));
        let overwrite = flags.controller.kubeconfig_overwrite.is_on();
        Ok(Self {
            login: Login { url, token },
            cluster: cluster(flags)?,
            limits: limits(flags),
            k3s: k3s(&flags.bootstrap),
            ssh_keys: ssh_keys(&flags.cluster.user_ssh_public_key)?,
            tailnet: tailnet(flags)?,
            workers: typed.is_given("worker-count").then_some(flags.worker.count),
            kubeconfig: path.map(|path| Place { path, overwrite }),
            state,
        })
    }

    /// What the cluster is called.
    pub(crate) fn id(&self) -> &ClusterId {
        &self.cluster.spec().id
    }
}

fn cluster(flags: &Flags) -> Result<Cluster, SettingsError> {
    let mut servers = servers(&flags.control_plane);
    let mut worker = worker(&flags.worker)?;
    if servers.image.name == worker.image.name {
        // Who names one image twice says once where it comes from.
        let source = servers.image.source.take().or(worker.image.source.take());
        (servers.image.source, worker.image.source) = (source.clone(), source);
    }
    let mut pools = match &flags.worker.pools {
        Some(path) => pools::read(path, &worker_image(&flags.worker))?,
        None => BTreeMap::new(),
    };
    if pools.insert(PoolName::from(WORKERS), worker).is_some() {
        return Err(SettingsError::WorkersTwice);
    }
    Ok(Cluster::new(ClusterSpec {
        id: flags.cluster.cluster_name.parse()?,
        project: flags.cluster.cluster_project.clone(),
        missing_project: MissingProject::Create,
        network: Network::default(),
        ssh_keys: Vec::new(),
        servers,
        pools,
    })?)
}

fn servers(flags: &ControlPlaneFlags) -> Servers {
    let image =
        Image { name: flags.image_name.clone(), source: flags.image_source.clone(), blocksize: flags.image_blocksize };
    Servers {
        count: flags.count,
        machines: PoolSpec {
            prefix: flags.prefix.clone(),
            vcpus: flags.cpu,
            memory_gib: flags.memory,
            root_disk_gib: root_disk(flags.root_disk_size),
            data_disks_gib: data_disks(flags.extra_disk_size),
            min: flags.count,
            max: flags.count,
        },
        image: image.spec(),
        external_ip: external_ip(flags.external_ip),
    }
}

fn worker(flags: &WorkerFlags) -> Result<WorkerPool, SettingsError> {
    let max = flags.max.unwrap_or_else(|| MOST_WORKERS.max(flags.count).max(flags.min));
    if flags.count > max || flags.count != 0 && flags.count < flags.min {
        return Err(SettingsError::WorkerCount { count: flags.count, min: flags.min, max });
    }
    Ok(WorkerPool {
        machines: PoolSpec {
            prefix: flags.prefix.clone(),
            vcpus: flags.cpu,
            memory_gib: flags.memory,
            root_disk_gib: root_disk(flags.root_disk_size),
            data_disks_gib: data_disks(flags.extra_disk_size),
            min: flags.min,
            max,
        },
        image: worker_image(flags).spec(),
        external_ip: external_ip(flags.external_ip),
        labels: BTreeMap::new(),
    })
}

fn worker_image(flags: &WorkerFlags) -> Image {
    Image { name: flags.image_name.clone(), source: flags.image_source.clone(), blocksize: flags.image_blocksize }
}

fn root_disk(gib: u32) -> u32 {
    if gib == 0 { DISK_GIB } else { gib }
}

fn data_disks(gib: u32) -> Vec<u32> {
    if gib == 0 { Vec::new() } else { vec![gib] }
}

fn external_ip(switch: Switch) -> ExternalIp {
    if switch.is_on() { ExternalIp::Ephemeral } else { ExternalIp::None }
}

fn limits(flags: &Flags) -> Limits {
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let defaults = Limits::default();
    Limits {
        cluster_init: minutes(flags.cluster.cluster_init_wait),
        look: minutes(flags.controller.control_loop_mins),
        parallel: Parallel { blocks: usize::from(flags.cluster.image_parallelism), ..defaults.parallel },
        ..defaults
    }
}

fn k3s(flags: &BootstrapFlags) -> K3s {
    let mut k3s = K3s::default();
    BootstrapFlags::replace(&mut k3s.binary, flags.k3s_source.as_ref(), flags.k3s_sha256.as_ref());
    k3s.images = flags.k3s_images.iter().map(|images| images.0.clone()).collect();
    k3s
}

fn ssh_keys(value: &Value) -> Result<Vec<String>, SettingsError> {
    let Some(key) = value.read("user-ssh-public-key")? else { return Ok(Vec::new()) };
    let key = key.expose();
    let is_public = ["ssh-", "ecdsa-", "sk-"].iter().any(|start| key.starts_with(start)) && key.contains(' ');
    if is_public && !key.chars().any(char::is_control) { Ok(vec![key.to_owned()]) } else { Err(SettingsError::SshKey) }
}

fn tailnet(flags: &Flags) -> Result<Option<TailnetSettings>, SettingsError> {
    let cluster = &flags.cluster;
    let Some(auth_key) = cluster.tailscale_auth_key.read("tailscale-auth-key")? else { return Ok(None) };
    let missing = |missing| SettingsError::Tailnet { missing };
    let api_key = cluster.tailscale_api_key.read("tailscale-api-key")?;
    if api_key.is_none() && !flags.controller.in_cluster.is_on() {
        return Err(missing("tailscale-api-key"));
    }
    let name = cluster.tailscale_tailnet.trim();
    if name.is_empty() {
        return Err(missing("tailscale-tailnet"));
    }
    let mut machines = Tailscale::new(auth_key, cluster.tailscale_tag.parse()?);
    let bootstrap = &flags.bootstrap;
    BootstrapFlags::replace(
        &mut machines.archive,
        bootstrap.tailscale_source.as_ref(),
        bootstrap.tailscale_sha256.as_ref(),
    );
    Ok(Some(TailnetSettings { machines, name: name.to_owned(), api: cluster.tailscale_api_url.clone(), api_key }))
}

#[cfg(test)]
mod tests;
