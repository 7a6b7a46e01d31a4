//! What machines install.

use clowder_core::source::Digest;
use clowder_oxide::bootstrap::{Artifact, Source};
use std::str::FromStr;

/// What machines install. By default it is what this program was tested with, from where its makers publish it.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "What machines install")]
pub(crate) struct BootstrapFlags {
    /// Where the k3s binary is: URL of a mirror, or path in the image [default: where its makers publish it]
    #[arg(long, value_name = "URL|PATH")]
    pub(crate) k3s_source: Option<Source>,
    /// Checksum of another release of k3s, as sha256:HEX [default: that of the release this program was tested with]
    #[arg(long, value_name = "DIGEST", requires = "k3s_source")]
    pub(crate) k3s_sha256: Option<Digest>,
    /// Archive of container images that k3s loads when it starts, with its checksum; may be given several times, for
    /// machines without a way to a registry
    #[arg(long, value_name = "URL|PATH,sha256:HEX")]
    pub(crate) k3s_images: Vec<Images>,
    /// Where tailscale's archive is: URL of a mirror, or path in the image [default: where its makers publish it]
    #[arg(long, value_name = "URL|PATH")]
    pub(crate) tailscale_source: Option<Source>,
    /// Checksum of another release of tailscale, as sha256:HEX [default: that of the release this program was tested with]
    #[arg(long, value_name = "DIGEST", requires = "tailscale_source")]
    pub(crate) tailscale_sha256: Option<Digest>,
}

/// An archive of images, and its checksum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Images(pub(crate) Artifact);

/// What is no archive with a checksum.
#[derive(Debug, thiserror::Error)]
#[error("write URL|PATH,sha256:HEX: {0}")]
pub(crate) struct InvalidImages(String);

impl FromStr for Images {
    type Err = InvalidImages;

    fn from_str(text: &str) -> Result<Self, InvalidImages> {
        let (source, sha256) = text.rsplit_once(',').ok_or_else(|| InvalidImages("there is no checksum".to_owned()))?;
        let source = source.parse().map_err(|error| InvalidImages(format!("{error}")))?;
        let sha256 = sha256.parse().map_err(|error| InvalidImages(format!("{error}")))?;
        Ok(Self(Artifact { source, sha256 }))
    }
}

impl BootstrapFlags {
    /// The artifact that these flags make of the pinned one: another place of the same file, or another release.
    pub(crate) fn replace(pinned: &mut Artifact, source: Option<&Source>, sha256: Option<&Digest>) {
        if let Some(source) = source {
            pinned.source = source.clone();
        }
        if let Some(sha256) = sha256 {
            pinned.sha256 = *sha256;
        }
    }
}
