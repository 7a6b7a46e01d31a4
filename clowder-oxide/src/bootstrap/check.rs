//! What user data is refused for, before it is written.

use super::labels;
use super::setup::ClusterSetup;
use super::user_data::UserDataError;
use crate::disk::{DiskName, DiskRole};
use crate::machine::MachineName;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

pub(super) fn check(
    setup: &ClusterSetup,
    machine: &MachineName,
    data_disks: &[DiskName],
    labels: &BTreeMap<String, String>,
) -> Result<(), UserDataError> {
    if let Some(index) = setup.ssh_keys.iter().position(|key| !is_public_key(key)) {
        return Err(UserDataError::SshKey(index + 1));
    }
    let known = |name: &&String| name.parse::<IpAddr>().is_ok() || labels::is_domain(name);
    if let Some(name) = setup.server_names.iter().find(|name| !known(name)) {
        return Err(UserDataError::ServerName(name.chars().take(80).collect()));
    }
    if let Some((name, value)) = labels.iter().find(|(name, value)| !labels::may_be_set(name, value)) {
        return Err(UserDataError::Label { name: name.clone(), value: value.clone() });
    }
    let own = |disk: &&DiskName| disk.machine() == machine && matches!(disk.role(), DiskRole::Data(_));
    if let Some(disk) = data_disks.iter().find(|disk| !own(disk)) {
        return Err(UserDataError::Disk { disk: disk.clone(), machine: machine.clone() });
    }
    let mut names = BTreeSet::new();
    for name in setup.k3s.images.iter().map(|image| image.source.file_name()) {
        let loaded = [".tar", ".tar.gz", ".tar.zst"].iter().any(|end| name.ends_with(end));
        if !loaded || !names.insert(name) {
            return Err(UserDataError::Image(name.to_owned()));
        }
    }
    Ok(())
}

/// One line of `authorized_keys` without options: a kind, base64, and perhaps a comment.
fn is_public_key(text: &str) -> bool {
    let mut words = text.split(' ');
    let kind = words.next().unwrap_or_default();
    let blob = words.next().unwrap_or_default();
    let known = ["ssh-", "ecdsa-", "sk-"].iter().any(|start| kind.starts_with(start));
    let base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=');
    known && !blob.is_empty() && blob.chars().all(base64) && !text.chars().any(char::is_control)
}
