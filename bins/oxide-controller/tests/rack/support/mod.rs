//! What a run of the real program needs around it: a rack, a proxy that leads to it, a tailnet, and machines that join.

pub(crate) mod program;

#[cfg(feature = "cluster-tests")]
pub(crate) mod authority;
#[cfg(feature = "cluster-tests")]
pub(crate) mod kubernetes;
#[cfg(feature = "cluster-tests")]
pub(crate) mod machines;
#[cfg(feature = "cluster-tests")]
pub(crate) mod proxy;
#[cfg(feature = "cluster-tests")]
pub(crate) mod tls;
#[cfg(feature = "cluster-tests")]
pub(crate) mod world;
