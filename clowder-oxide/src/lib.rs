#![doc = include_str!("../README.md")]

mod apply;
pub mod bootstrap;
mod cluster;
mod disk;
mod error;
mod history;
mod ideal;
mod infra;
mod limits;
mod machine;
mod nodes;
mod observe;
mod owner;
mod plan;
mod pool;
mod progress;
mod rack;
mod reconcile;
mod request;
mod reserve;
mod servers;
mod sizes;
mod status;
mod step;
mod tailnet;
mod teardown;

pub use apply::StepError;
pub use cluster::{
    Cluster, ClusterId, ClusterSpec, ExternalIp, ImageSource, ImageSpec, InvalidCluster, MAX_SERVERS, MissingProject,
    Network, Servers, WorkerPool,
};
pub use disk::{DiskName, DiskRole, MAX_DATA_DISKS};
pub use error::OxideError;
pub use infra::OxideInfra;
pub use limits::{DrainPolicy, Limits, Parallel};
pub use machine::{InvalidOrdinal, InvalidPrefix, MAX_ORDINAL, MachineName, PoolPrefix, free_ordinals};
pub use nodes::{ClusterError, ClusterNodes, Drained, InMemoryNodes, NodeStatus};
pub use owner::{NoTag, Part, Tag};
pub use pool::{InvalidPool, MAX_DISK_GIB, MAX_MACHINES, MAX_MEMORY_GIB, MAX_VCPUS, MachinePool, PoolSpec};
pub use progress::{Event, Logged, Progress};
pub use rack::{ImageProgress, Login, Rack};
pub use reconcile::{Foreseen, Parts, Reconciler, Round, RoundError};
pub use reserve::system_reserve;
pub use servers::{SeenServers, servers};
pub use sizes::{InMemorySizes, PoolSizes, Sizes};
pub use status::{ClusterStatus, MachineStatus, PartStatus, Phase};
pub use step::{Step, Target};
pub use tailnet::{TAILSCALE_API, Tailnet, TailnetError};
pub use teardown::{Removal, TearDownError, tear_down};
