#![doc = include_str!("../README.md")]

mod answer;
mod calls;
mod description;
mod desk;
mod error;
mod fault;
mod ids;
mod operation;
mod options;
mod page;
mod rack;
mod records;
mod refusal;
mod request;
mod schedule;
mod server;
mod simulator;
mod state;
mod table;
mod tailnet;
mod tls;

pub use calls::{Call, CrashPoint};
pub use error::StartError;
pub use fault::{Fault, Injection};
pub use operation::Operation;
pub use options::{Options, Quotas, SiloImage, Times};
pub use records::{Content, Disk, Group, Image, Instance, Snapshot, UserData, Vpc};
pub use simulator::{Clock, FaultsOf, Simulator};
pub use state::{Guest, State};
pub use tailnet::{Device, Tailnet};
pub use tls::Tls;
