//! What differs from machine to machine on its disk.

use super::setup::{ClusterSetup, Role};
use super::shell;
use crate::disk::DiskName;
use crate::machine::MachineName;

/// Seconds that a machine waits for a disk that is attached to it.
const DISK_WAIT_SECONDS: &str = "120";

const K3S_UNIT: &str = include_str!("assets/k3s.service");

/// Where a data disk is mounted.
pub(super) fn folder(index: usize) -> String {
    if index == 0 { "/data".to_owned() } else { format!("/data{index}") }
}

/// The unit that runs k3s, called as k3s' own installation calls it.
pub(super) fn unit(role: Role) -> &'static str {
    if role.is_server() { "k3s" } else { "k3s-agent" }
}

/// k3s waits for the data disks: without them, models would fill the root disk.
pub(super) fn k3s_unit(setup: &ClusterSetup, role: Role, folders: &[String]) -> String {
    let (part, kind) = if role.is_server() { ("server", "notify") } else { ("agent", "exec") };
    let mounts = if folders.is_empty() { String::new() } else { format!("RequiresMountsFor={}\n", folders.join(" ")) };
    let after = if setup.tailscale.is_some() { " tailscaled.service" } else { "" };
    K3S_UNIT.replace("@ROLE@", part).replace("@TYPE@", kind).replace("@AFTER@", after).replace("@MOUNTS@\n", &mounts)
}

/// What the bootstrap script reads.
pub(super) fn settings(
    setup: &ClusterSetup,
    machine: &MachineName,
    role: Role,
    data_disks: &[DiskName],
    folders: &[String],
) -> String {
    let (k3s, tailscale) = (&setup.k3s, setup.tailscale.as_ref());
    let archive = tailscale.map(|tailscale| &tailscale.archive);
    [
        shell::assignment("NODE_NAME", &machine.to_string()),
        shell::assignment("K3S_UNIT", unit(role)),
        shell::assignment("K3S_SOURCE", &k3s.binary.source.to_string()),
        shell::assignment("K3S_SHA256", &k3s.binary.sha256.hex()),
        shell::list("IMAGE_SOURCES", k3s.images.iter().map(|image| image.source.to_string())),
        shell::list("IMAGE_SHA256S", k3s.images.iter().map(|image| image.sha256.hex())),
        shell::list("IMAGE_NAMES", k3s.images.iter().map(|image| image.source.file_name())),
        shell::list("DATA_SERIALS", data_disks.iter().map(DiskName::serial)),
        shell::list("DATA_FOLDERS", folders),
        shell::assignment("DISK_WAIT_SECONDS", DISK_WAIT_SECONDS),
        shell::assignment("TAILSCALE_SOURCE", &archive.map(|a| a.source.to_string()).unwrap_or_default()),
        shell::assignment("TAILSCALE_SHA256", &archive.map(|a| a.sha256.hex()).unwrap_or_default()),
        shell::assignment("TAILSCALE_TAG", &tailscale.map(|t| t.tag.to_string()).unwrap_or_default()),
    ]
    .concat()
}
