//! The Kubernetes cluster that runs on the machines: how it is reached, its nodes, and what is kept in it.

mod access;
mod kept;
mod nodes;
mod pods;
mod sizes;

pub(crate) use access::{Access, AccessError};
pub(crate) use kept::{Kept, MANAGER};
pub(crate) use nodes::KubeNodes;
pub(crate) use sizes::ClusterSizes;
