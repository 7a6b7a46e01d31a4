//! What a run of the real program needs around it: a rack, a proxy that leads to it, a tailnet, and machines that join.

pub(crate) mod authority;
pub(crate) mod program;
pub(crate) mod proxy;
