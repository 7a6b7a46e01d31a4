//! What machines are like.

use super::Switch;
use clowder_oxide::PoolPrefix;
use std::path::PathBuf;
use url::Url;

/// The image that machines start from by default.
pub(crate) const DEFAULT_IMAGE: &str = "debian-12-cloud";
/// Where it comes from: Debian's own image for clouds.
pub(crate) const DEFAULT_IMAGE_SOURCE: &str =
    "https://cloud.debian.org/images/cloud/bookworm/latest/debian-12-genericcloud-amd64.raw";

/// The machines that run Kubernetes itself.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Machines of the control plane")]
pub(crate) struct ControlPlaneFlags {
    /// What their names begin with
    #[arg(
        id = "control_plane_prefix",
        long = "control-plane-prefix",
        value_name = "PREFIX",
        default_value = "clowder-control-plane-"
    )]
    pub(crate) prefix: PoolPrefix,
    /// How many there are: an odd number, of which the larger half has to be well
    #[arg(id = "control_plane_count", long = "control-plane-count", value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=7))]
    pub(crate) count: u32,
    /// Image they start from, of the project or of the silo
    #[arg(
        id = "control_plane_image_name",
        long = "control-plane-image-name",
        value_name = "NAME",
        default_value = DEFAULT_IMAGE
    )]
    pub(crate) image_name: String,
    /// Where the image comes from if the rack has none of that name: URL of a raw disk image [default: Debian 12's for
    /// debian-12-cloud, and nowhere for others]
    #[arg(id = "control_plane_image_source", long = "control-plane-image-source", value_name = "URL")]
    pub(crate) image_source: Option<Url>,
    /// Bytes of a block of that image: 512, 2048 or 4096
    #[arg(
        id = "control_plane_image_blocksize",
        long = "control-plane-image-blocksize",
        value_name = "BYTES",
        default_value_t = 512
    )]
    pub(crate) image_blocksize: u16,
    /// GiB of the disk they start from; 0 is 64
    #[arg(
        id = "control_plane_root_disk_size",
        long = "control-plane-root-disk-size",
        value_name = "GIB",
        default_value_t = 0
    )]
    pub(crate) root_disk_size: u32,
    /// GiB of a further disk, at /data; 0 is none
    #[arg(
        id = "control_plane_extra_disk_size",
        long = "control-plane-extra-disk-size",
        value_name = "GIB",
        default_value_t = 0
    )]
    pub(crate) extra_disk_size: u32,
    /// GiB of memory
    #[arg(id = "control_plane_memory", long = "control-plane-memory", value_name = "GIB", default_value_t = 4)]
    pub(crate) memory: u32,
    /// vCPUs
    #[arg(id = "control_plane_cpu", long = "control-plane-cpu", value_name = "N", default_value_t = 2)]
    pub(crate) cpu: u16,
    /// Whether they are reached from outside the project: a floating IP for the cluster, and an address for each
    #[arg(id = "control_plane_external_ip", long = "control-plane-external-ip", value_name = "BOOL", default_value = "true", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) external_ip: Switch,
}

/// The machines that run models.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Machines for models")]
pub(crate) struct WorkerFlags {
    /// What their names begin with
    #[arg(id = "worker_prefix", long = "worker-prefix", value_name = "PREFIX", default_value = "clowder-worker-")]
    pub(crate) prefix: PoolPrefix,
    /// How many there shall be; without it as many as there were asked to be last, and none at first
    #[arg(id = "worker_count", long = "worker-count", value_name = "N", default_value_t = 0)]
    pub(crate) count: u32,
    /// The fewest that may be asked for, by whomever
    #[arg(id = "worker_min", long = "worker-min", value_name = "N", default_value_t = 0)]
    pub(crate) min: u32,
    /// The most that may be asked for, by whomever [default: 32, or the number of workers if that is more]
    #[arg(id = "worker_max", long = "worker-max", value_name = "N")]
    pub(crate) max: Option<u32>,
    /// Image they start from, of the project or of the silo
    #[arg(
        id = "worker_image_name",
        long = "worker-image-name",
        value_name = "NAME",
        default_value = DEFAULT_IMAGE
    )]
    pub(crate) image_name: String,
    /// Where the image comes from if the rack has none of that name: URL of a raw disk image [default: Debian 12's for
    /// debian-12-cloud, and nowhere for others]
    #[arg(id = "worker_image_source", long = "worker-image-source", value_name = "URL")]
    pub(crate) image_source: Option<Url>,
    /// Bytes of a block of that image: 512, 2048 or 4096
    #[arg(id = "worker_image_blocksize", long = "worker-image-blocksize", value_name = "BYTES", default_value_t = 512)]
    pub(crate) image_blocksize: u16,
    /// GiB of the disk they start from; 0 is 64
    #[arg(id = "worker_root_disk_size", long = "worker-root-disk-size", value_name = "GIB", default_value_t = 0)]
    pub(crate) root_disk_size: u32,
    /// GiB of a further disk, at /data, which holds the models; 0 is none
    #[arg(id = "worker_extra_disk_size", long = "worker-extra-disk-size", value_name = "GIB", default_value_t = 0)]
    pub(crate) extra_disk_size: u32,
    /// GiB of memory
    #[arg(id = "worker_memory", long = "worker-memory", value_name = "GIB", default_value_t = 16)]
    pub(crate) memory: u32,
    /// vCPUs
    #[arg(id = "worker_cpu", long = "worker-cpu", value_name = "N", default_value_t = 4)]
    pub(crate) cpu: u16,
    /// Whether each has an address outside the project
    #[arg(id = "worker_external_ip", long = "worker-external-ip", value_name = "BOOL", default_value = "false", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) external_ip: Switch,
    /// File of further pools of machines, such as some with much memory (TOML; docs/oxide.md has an example)
    #[arg(long, value_name = "FILE")]
    pub(crate) pools: Option<PathBuf>,
}
