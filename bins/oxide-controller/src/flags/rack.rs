//! Which rack, and as whom.

use super::Value;

/// Which rack, and as whom.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "The rack")]
pub(crate) struct RackFlags {
    /// URL of the rack's API [default: that of the profile]
    #[arg(long, value_name = "URL")]
    pub(crate) oxide_api_url: Option<String>,
    /// Access token, or file:PATH of a file that holds it [default: that of the profile]
    #[arg(long, value_name = "TOKEN", conflicts_with = "oxide_profile")]
    pub(crate) oxide_token: Option<Value>,
    /// Profile of the Oxide command line's credentials [default: the one of the URL, else what OXIDE_PROFILE or
    /// OXIDE_TOKEN and OXIDE_HOST say, else its default profile]
    #[arg(long, value_name = "NAME")]
    pub(crate) oxide_profile: Option<String>,
}
