//! What a simulated rack is like.

use crate::tls::Tls;
use ipnet::Ipv4Net;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// What a simulated rack is like.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it listens; port 0 is any free one.
    pub listen: SocketAddr,
    /// With a certificate, it speaks HTTPS.
    pub tls: Option<Tls>,
    /// What ids are made from: the same calls after the same seed make the same ids.
    pub seed: u64,
    /// How long things take, in the rack's own time.
    pub times: Times,
    /// How far the rack's clock goes on with each call. It stands still otherwise, until a test moves it.
    pub tick: Duration,
    /// What the silo may use.
    pub quotas: Quotas,
    /// How many sleds there are. Instances of an anti-affinity group take one each.
    pub sleds: u32,
    /// The silo's default pool of external addresses. Give it a part of 127.0.0.0/8 where a test listens on them.
    pub external_ips: Ipv4Net,
    /// The default subnet of each VPC.
    pub private_ips: Ipv4Net,
    /// Projects that are there from the start.
    pub projects: Vec<String>,
    /// Images of the silo that are there from the start.
    pub silo_images: Vec<SiloImage>,
    /// The user's public keys, from the start.
    pub ssh_keys: Vec<String>,
}

/// An image that all projects of the silo can use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiloImage {
    /// Its name.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
}

/// How long things take, in the rack's own time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// Until a new instance begins to start.
    pub create: Duration,
    /// From starting to running.
    pub start: Duration,
    /// From stopping to stopped.
    pub stop: Duration,
    /// From rebooting to running.
    pub reboot: Duration,
    /// Until a failed instance is started again, where its policy allows it.
    pub auto_restart: Duration,
    /// The same for one that failed while it was stopped ([`Fault::RestartRacesStop`](crate::Fault::RestartRacesStop)).
    pub restart_race: Duration,
    /// How long disks stay attached to a deleted instance
    /// ([`Fault::DiskStaysAttached`](crate::Fault::DiskStaysAttached)).
    pub late_detach: Duration,
}

/// What a silo may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// vCPUs of instances that are on a sled.
    pub cpus: u32,
    /// Bytes of memory of instances that are on a sled.
    pub memory: u64,
    /// Bytes of disks and snapshots.
    pub storage: u64,
}

impl Default for Times {
    /// About what a rack takes.
    fn default() -> Self {
        Self {
            create: Duration::from_secs(2),
            start: Duration::from_secs(15),
            stop: Duration::from_secs(8),
            reboot: Duration::from_secs(12),
            auto_restart: Duration::from_secs(60),
            restart_race: Duration::from_secs(5),
            late_detach: Duration::from_secs(30),
        }
    }
}

impl Times {
    /// All that goes well takes no time; what goes wrong still does.
    pub fn instant() -> Self {
        Self {
            create: Duration::ZERO,
            start: Duration::ZERO,
            stop: Duration::ZERO,
            reboot: Duration::ZERO,
            ..Self::default()
        }
    }
}

impl Default for Quotas {
    /// More than tests need.
    fn default() -> Self {
        Self { cpus: 4096, memory: 32 << 40, storage: 512 << 40 }
    }
}

impl Default for Options {
    /// A large empty rack on a free port of this machine, whose clock a test moves.
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            tls: None,
            seed: 0,
            times: Times::default(),
            tick: Duration::ZERO,
            quotas: Quotas::default(),
            sleds: 16,
            external_ips: Ipv4Net::new_assert(Ipv4Addr::new(203, 0, 113, 0), 24),
            private_ips: Ipv4Net::new_assert(Ipv4Addr::new(172, 30, 0, 0), 22),
            projects: Vec::new(),
            silo_images: Vec::new(),
            ssh_keys: Vec::new(),
        }
    }
}

impl Options {
    /// Like the default, and all that goes well is done when the call is answered. The clock goes on by a second with
    /// each call, so that what takes time does end.
    pub fn instant() -> Self {
        Self { times: Times::instant(), tick: Duration::from_secs(1), ..Self::default() }
    }
}
