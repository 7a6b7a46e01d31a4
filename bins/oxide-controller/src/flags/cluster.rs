//! The cluster as a whole.

use super::Value;
use clowder_oxide::TAILSCALE_API;

/// The cluster as a whole.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "The cluster")]
pub(crate) struct ClusterFlags {
    /// The project of the rack in which the machines are
    #[arg(long, value_name = "NAME", default_value = "clowder")]
    pub(crate) cluster_project: String,
    /// What the cluster is called: it marks everything that belongs to it, and nothing else is ever changed or deleted
    #[arg(long, value_name = "NAME", default_value = "clowder")]
    pub(crate) cluster_name: String,
    /// How long the first machine may take to become a Kubernetes node, in minutes
    #[arg(long, value_name = "MINUTES", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=1440))]
    pub(crate) cluster_init_wait: u64,
    /// Public key for SSH as the image's user, or file:PATH; without one nobody can log in
    #[arg(long, value_name = "KEY", default_value = "", hide_default_value = true)]
    pub(crate) user_ssh_public_key: Value,
    /// How many blocks of an image are written at the same time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=8))]
    pub(crate) image_parallelism: u16,
    /// Reusable key with which machines join a tailnet, or file:PATH; without one they are in none
    #[arg(long, value_name = "KEY", default_value = "", hide_default_value = true)]
    pub(crate) tailscale_auth_key: Value,
    /// Key of tailscale's API, or file:PATH: used once, to find the first machine's address
    #[arg(long, value_name = "KEY", default_value = "", hide_default_value = true)]
    pub(crate) tailscale_api_key: Value,
    /// Tag that machines have in the tailnet
    #[arg(long, value_name = "TAG", default_value = "clowder-k8s-node")]
    pub(crate) tailscale_tag: String,
    /// The tailnet: something.ts.net
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub(crate) tailscale_tailnet: String,
    /// Where tailscale's API is
    #[arg(long, value_name = "URL", default_value = TAILSCALE_API)]
    pub(crate) tailscale_api_url: String,
}
