//! One thing to do.

use crate::cluster::ImageSpec;
use crate::machine::MachineName;
use crate::owner::Part;
use clowder_core::NodeName;
use std::fmt;
use std::net::IpAddr;
use uuid::Uuid;

/// One thing to do. Doing it twice does no harm: whatever exists is named by its identity, and whatever does not is created
/// under a name that only one thing can have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Step {
    /// Create the project.
    CreateProject {
        /// Its name.
        project: String,
    },
    /// Create the disk that takes an image.
    CreateImportDisk(ImageSpec),
    /// Write an image to that disk and make a snapshot of it.
    WriteImage {
        /// The image.
        image: ImageSpec,
        /// The disk.
        disk: Uuid,
    },
    /// Make the image of the snapshot.
    CreateImage {
        /// Its name.
        image: String,
        /// The snapshot.
        snapshot: Uuid,
    },
    /// End writing to the disk of an import that was cut short.
    StopImport {
        /// The disk.
        disk: Uuid,
        /// Its name.
        name: String,
    },
    /// Make the disk of an import that was cut short one that can be deleted.
    AbandonImport {
        /// The disk.
        disk: Uuid,
        /// Its name.
        name: String,
    },
    /// Delete the snapshot of an import.
    DeleteSnapshot {
        /// The snapshot.
        snapshot: Uuid,
        /// Its name.
        name: String,
    },
    /// Delete a disk that no machine has.
    DeleteDisk {
        /// The disk.
        disk: Uuid,
        /// Its name.
        name: String,
    },
    /// Create the address of the API server.
    CreateFloatingIp {
        /// Its name.
        name: String,
    },
    /// Create the group that keeps servers apart.
    CreateGroup {
        /// Its name.
        name: String,
    },
    /// Let clients to the API server of these servers.
    SetFirewall {
        /// The servers.
        servers: Vec<String>,
    },
    /// Lead the API server's address to a server.
    AttachFloatingIp {
        /// The address.
        id: Uuid,
        /// The server.
        server: MachineName,
        /// Its identity.
        instance: Uuid,
    },
    /// Take the API server's address from whatever has it.
    DetachFloatingIp {
        /// The address.
        id: Uuid,
        /// The instance that has it.
        from: Uuid,
    },
    /// Create a machine with its disks.
    CreateMachine {
        /// The machine.
        machine: MachineName,
        /// What it belongs to.
        part: Part,
        /// What it starts from.
        image: Uuid,
        /// A server of the cluster that it joins; `None` for the first, which begins the cluster.
        joins: Option<IpAddr>,
    },
    /// Start a machine.
    Start(Target),
    /// Keep new Pods from a node.
    Cordon(NodeName),
    /// Evict Pods from a node.
    Drain(NodeName),
    /// Delete a node.
    RemoveNode(NodeName),
    /// Stop a machine.
    Stop(Target),
    /// Delete a machine that has stopped.
    Delete(Target),
}

/// A machine that exists.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// Its name.
    pub machine: MachineName,
    /// Its identity.
    pub id: Uuid,
}

impl Step {
    /// The machine or node that it is about.
    pub fn node(&self) -> Option<NodeName> {
        match self {
            Self::CreateMachine { machine, .. } => Some(machine.node()),
            Self::Start(target) | Self::Stop(target) | Self::Delete(target) => Some(target.machine.node()),
            Self::Cordon(node) | Self::Drain(node) | Self::RemoveNode(node) => Some(node.clone()),
            _ => None,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateProject { project } => write!(f, "create project {project}"),
            Self::CreateImportDisk(image) => write!(f, "create a disk for image {}", image.name),
            Self::WriteImage { image, .. } => write!(f, "import image {}", image.name),
            Self::CreateImage { image, .. } => write!(f, "create image {image}"),
            Self::StopImport { name, .. } => write!(f, "end the unfinished import to disk {name}"),
            Self::AbandonImport { name, .. } => write!(f, "give up the unfinished import to disk {name}"),
            Self::DeleteSnapshot { name, .. } => write!(f, "delete snapshot {name}"),
            Self::DeleteDisk { name, .. } => write!(f, "delete disk {name}"),
            Self::CreateFloatingIp { name } => write!(f, "create floating IP {name}"),
            Self::CreateGroup { name } => write!(f, "create anti-affinity group {name}"),
            Self::SetFirewall { servers } => write!(f, "let clients to the API server of {}", servers.join(", ")),
            Self::AttachFloatingIp { server, .. } => write!(f, "lead the API server's address to {server}"),
            Self::DetachFloatingIp { .. } => f.write_str("take the API server's address from where it leads"),
            Self::CreateMachine { machine, part: Part::Servers, joins: None, .. } => {
                write!(f, "create {machine}, the first server")
            }
            Self::CreateMachine { machine, part: Part::Servers, .. } => write!(f, "create {machine}, a server"),
            Self::CreateMachine { machine, part, .. } => write!(f, "create {machine} of {part}"),
            Self::Start(target) => write!(f, "start {}", target.machine),
            Self::Cordon(node) => write!(f, "cordon {node}"),
            Self::Drain(node) => write!(f, "drain {node}"),
            Self::RemoveNode(node) => write!(f, "delete node {node}"),
            Self::Stop(target) => write!(f, "stop {}", target.machine),
            Self::Delete(target) => write!(f, "delete {}", target.machine),
        }
    }
}
