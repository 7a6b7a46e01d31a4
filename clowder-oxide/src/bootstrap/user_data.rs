//! The user data of one machine.

use super::check::check;
use super::config::Config;
use super::machine::{folder, k3s_unit, settings, unit};
use super::setup::{ClusterSetup, Role};
use super::yaml::written;
use crate::disk::DiskName;
use crate::machine::MachineName;
use clowder_core::{BoxError, Secret};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// The most bytes of user data that Oxide takes, before they are base64.
pub const MAX_USER_DATA: usize = 32 * 1024;

const BOOTSTRAP: &str = include_str!("assets/bootstrap.sh");
const BOOTSTRAP_UNIT: &str = include_str!("assets/clowder-bootstrap.service");
const TAILSCALED_UNIT: &str = include_str!("assets/tailscaled.service");

/// What cloud-init carries out on one machine: a credential as text, of at most [`MAX_USER_DATA`] bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct UserData(Secret);

impl UserData {
    /// It, as Oxide takes it once it is base64.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.expose().as_bytes()
    }
}

impl fmt::Debug for UserData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserData({} bytes)", self.as_bytes().len())
    }
}

/// Why a machine cannot be told what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UserDataError {
    /// Not a key as it stands in `authorized_keys`. Keys are counted from 1.
    #[error("SSH key {0} is no public key: write one line such as \"ssh-ed25519 AAAA… name\"")]
    SshKey(usize),
    /// Neither an address nor a host name.
    #[error("server name {0:?} is neither an address nor a host name")]
    ServerName(String),
    /// A label that a node cannot give itself.
    #[error(
        "label {name:?}={value:?} is none that a node may give itself: letters, digits, '-', '_' and '.', and no domain of kubernetes.io or k8s.io"
    )]
    Label {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
    /// A disk that is not a data disk of this machine.
    #[error("{disk} is no data disk of {machine}")]
    Disk {
        /// Which.
        disk: DiskName,
        /// Whose it should be.
        machine: MachineName,
    },
    /// Two images of one file name, or one that k3s does not load.
    #[error(
        "image archive {0} is not loaded by k3s, or there are two of this name: call them differently, and .tar, .tar.gz or .tar.zst"
    )]
    Image(String),
    /// More than Oxide takes.
    #[error("user data for {machine} has {bytes} bytes and Oxide takes {MAX_USER_DATA}; most room take {largest}")]
    TooLarge {
        /// Whose.
        machine: MachineName,
        /// Of how many bytes.
        bytes: usize,
        /// What takes the most room, the largest first.
        largest: Room,
    },
    /// It cannot be written as YAML.
    #[error("user data for {machine} cannot be written")]
    Yaml {
        /// Whose.
        machine: MachineName,
        /// Why.
        #[source]
        source: BoxError,
    },
}

/// Parts of user data and their bytes, the largest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room(pub Vec<(String, usize)>);

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.0.iter().map(|(part, bytes)| format!("{part} ({bytes})")).collect();
        f.write_str(&parts.join(", "))
    }
}

#[derive(Serialize)]
struct CloudConfig<'a> {
    hostname: String,
    disable_root: bool,
    ssh_pwauth: bool,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    ssh_authorized_keys: &'a [String],
    write_files: Vec<File>,
    runcmd: [&'static [&'static str]; 3],
}

/// A file of root's.
#[derive(Serialize)]
struct File {
    path: String,
    permissions: &'static str,
    content: String,
}

impl File {
    fn public(path: &str, content: impl Into<String>) -> Self {
        Self { path: path.to_owned(), permissions: "0644", content: content.into() }
    }

    fn secret(path: &str, content: impl Into<String>) -> Self {
        Self { permissions: "0600", ..Self::public(path, content) }
    }

    fn program(path: &str, content: impl Into<String>) -> Self {
        Self { permissions: "0755", ..Self::public(path, content) }
    }
}

/// The user data of `machine`, which has `memory` bytes and plays `role`; its node gets `labels`.
///
/// The first of `data_disks` is mounted at `/data`, the others at `/data1`, `/data2` and so on. A disk is found by its
/// [serial number](DiskName::serial) and formatted only if nothing at all is on it.
///
/// # Errors
/// [`UserDataError`], for the first thing that is wrong.
pub fn user_data(
    setup: &ClusterSetup,
    machine: &MachineName,
    memory: u64,
    role: &Role,
    data_disks: &[DiskName],
    labels: &BTreeMap<String, String>,
) -> Result<UserData, UserDataError> {
    let role = *role;
    check(setup, machine, data_disks, labels)?;
    let yaml = |source: BoxError| UserDataError::Yaml { machine: machine.clone(), source };
    let config = written(&Config::new(setup, machine, memory, role, labels)).map_err(yaml)?;
    let folders: Vec<String> = (0..data_disks.len()).map(folder).collect();

    let mut files = vec![
        File::program("/usr/local/sbin/clowder-bootstrap", BOOTSTRAP),
        File::public("/etc/clowder/bootstrap.conf", settings(setup, machine, role, data_disks, &folders)),
        File::public("/etc/systemd/system/clowder-bootstrap.service", BOOTSTRAP_UNIT),
        File::public(&format!("/etc/systemd/system/{}.service", unit(role)), k3s_unit(setup, role, &folders)),
        File::secret("/etc/rancher/k3s/config.yaml", config),
    ];
    if role == Role::FirstServer {
        let authorities = setup.secrets.authorities();
        files.extend(
            authorities.map(|(name, pem)| File::secret(&format!("/var/lib/rancher/k3s/server/tls/{name}"), pem)),
        );
    }
    if let Some(tailscale) = &setup.tailscale {
        files.push(File::public("/etc/systemd/system/tailscaled.service", TAILSCALED_UNIT));
        files.push(File::secret("/etc/clowder/tailscale.key", tailscale.auth_key.expose()));
    }

    let mut room: Vec<(String, usize)> = files.iter().map(|file| (file.path.clone(), file.content.len())).collect();
    room.push(("SSH keys".to_owned(), setup.ssh_keys.iter().map(String::len).sum()));
    let cloud_config = CloudConfig {
        hostname: machine.to_string(),
        disable_root: true,
        ssh_pwauth: false,
        ssh_authorized_keys: &setup.ssh_keys,
        write_files: files,
        runcmd: [
            &["systemctl", "daemon-reload"],
            &["systemctl", "enable", "clowder-bootstrap.service"],
            &["systemctl", "start", "--no-block", "clowder-bootstrap.service"],
        ],
    };
    let text = format!("#cloud-config\n{}", written(&cloud_config).map_err(yaml)?);
    if text.len() > MAX_USER_DATA {
        room.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        room.truncate(3);
        return Err(UserDataError::TooLarge { machine: machine.clone(), bytes: text.len(), largest: Room(room) });
    }
    Ok(UserData(Secret::new(text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bootstrap::{ClusterSecrets, K3s, Tailscale};
    use proptest::prelude::*;

    fn setup() -> ClusterSetup {
        ClusterSetup {
            secrets: ClusterSecrets::generate().unwrap(),
            k3s: K3s::default(),
            ssh_keys: Vec::new(),
            server_names: Vec::new(),
            tailscale: None,
        }
    }

    fn machine() -> MachineName {
        MachineName::new("w-".parse().unwrap(), 0).unwrap()
    }

    fn first(setup: &ClusterSetup) -> Result<UserData, UserDataError> {
        user_data(setup, &machine(), 1 << 34, &Role::FirstServer, &[], &BTreeMap::new())
    }

    #[test]
    fn what_is_wrong_is_said_in_one_line() {
        let agent = Role::Agent { join: "10.0.0.5".parse().unwrap() };
        let with = |change: fn(&mut ClusterSetup)| {
            let mut setup = setup();
            change(&mut setup);
            first(&setup)
        };
        let other = MachineName::new("w-".parse().unwrap(), 1).unwrap();
        let given = |disk: DiskName, label: &str| {
            let labels = BTreeMap::from([(label.to_owned(), "x".to_owned())]);
            user_data(&setup(), &machine(), 1 << 34, &agent, &[disk], &labels)
        };
        let own = DiskName::data(machine(), 0).unwrap();
        let image = |setup: &mut ClusterSetup, source: &str| {
            let artifact = crate::bootstrap::Artifact { source: source.parse().unwrap(), ..K3s::default().binary };
            setup.k3s.images.push(artifact);
        };
        let mut same_name = setup();
        image(&mut same_name, "/a/k3s.tar");
        image(&mut same_name, "/b/k3s.tar");
        let mut no_archive = setup();
        image(&mut no_archive, "/a/k3s.zip");
        let refusals = [
            with(|setup| setup.ssh_keys = vec!["ssh-ed25519 AAAA".to_owned(), "-----BEGIN OPENSSH".to_owned()]),
            with(|setup| setup.ssh_keys = vec!["ssh-ed25519 AAAA ada\ndisable_root: false".to_owned()]),
            with(|setup| setup.server_names = vec!["host name".to_owned()]),
            given(DiskName::root(machine()), "pool"),
            given(DiskName::data(other, 0).unwrap(), "pool"),
            given(own, "node-role.kubernetes.io/worker"),
            first(&same_name),
            first(&no_archive),
        ];
        let said: Vec<String> = refusals.into_iter().map(|refusal| refusal.unwrap_err().to_string()).collect();
        insta::assert_snapshot!(said.join("\n"));
    }

    #[test]
    fn who_writes_too_much_is_told_what_takes_the_room() {
        let refusal = first(&ClusterSetup { ssh_keys: vec![format!("ssh-rsa {}", "A".repeat(1000)); 30], ..setup() });
        let Err(UserDataError::TooLarge { bytes, largest, .. }) = &refusal else { panic!("{refusal:?}") };
        assert!(*bytes > MAX_USER_DATA);
        assert_eq!(largest.0[0], ("SSH keys".to_owned(), 30 * 1008));
        let said = refusal.as_ref().unwrap_err().to_string();
        let end = "most room take SSH keys (30240), /usr/local/sbin/clowder-bootstrap (";
        assert!(said.starts_with(&format!("user data for w-0 has {bytes} bytes")) && said.contains(end), "{said}");
    }

    #[test]
    fn debug_prints_nothing_of_it() {
        let made = first(&setup()).unwrap();
        assert_eq!(format!("{made:?}"), format!("UserData({} bytes)", made.as_bytes().len()));
    }

    #[test]
    fn root_may_not_log_in_and_nobody_else_without_a_key() {
        let made = first(&setup()).unwrap();
        let read: serde_json::Value = serde_saphyr::from_str(std::str::from_utf8(made.as_bytes()).unwrap()).unwrap();
        assert_eq!((&read["disable_root"], &read["ssh_pwauth"]), (&true.into(), &false.into()));
        assert_eq!(read.get("ssh_authorized_keys"), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn yaml_says_what_was_meant(comment in "[ -~äé]{0,100}", key in "[ -~]{0,40}") {
            let mut setup = setup();
            let ssh = format!("ssh-ed25519 AAAA {comment}");
            setup.ssh_keys = vec![ssh.clone()];
            setup.tailscale = Some(Tailscale::new(Secret::new(key.clone()), "tag".parse().unwrap()));
            let made = first(&setup).unwrap();
            let read: serde_json::Value = serde_saphyr::from_str(std::str::from_utf8(made.as_bytes()).unwrap()).unwrap();
            prop_assert_eq!(&read["ssh_authorized_keys"][0], &ssh);
            let files = read["write_files"].as_array().unwrap();
            let content = |path: &str| files.iter().find(|file| file["path"] == path).map(|file| file["content"].clone());
            prop_assert_eq!(content("/etc/clowder/tailscale.key"), Some(key.into()));
            let authority = "/var/lib/rancher/k3s/server/tls/server-ca.crt";
            prop_assert_eq!(content(authority), Some(setup.secrets.server_ca().into()));
            prop_assert_eq!(content("/usr/local/sbin/clowder-bootstrap"), Some(BOOTSTRAP.into()));
        }
    }
}
