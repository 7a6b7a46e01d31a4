#![doc = include_str!("../README.md")]

pub mod bootstrap;
mod disk;
mod machine;
mod pool;
mod reserve;
mod tailnet;

pub use disk::{DiskName, DiskRole, MAX_DATA_DISKS};
pub use machine::{InvalidOrdinal, InvalidPrefix, MAX_ORDINAL, MachineName, PoolPrefix, free_ordinals};
pub use pool::{InvalidPool, MAX_DISK_GIB, MAX_MACHINES, MAX_MEMORY_GIB, MAX_VCPUS, MachinePool, PoolSpec};
pub use reserve::system_reserve;
pub use tailnet::{TAILSCALE_API, Tailnet, TailnetError};
