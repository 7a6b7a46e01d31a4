//! How machines join a tailnet.

use super::artifact::Artifact;
use clowder_core::Secret;
use std::fmt;
use std::str::FromStr;

/// The tag that a tailnet's policy gives to machines, without `tag:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag(String);

/// A string that is no [`Tag`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is no tag of a tailnet: write 1 to 63 letters, digits and '-', a letter first, without \"tag:\"")]
pub struct InvalidTag(pub String);

impl FromStr for Tag {
    type Err = InvalidTag;

    fn from_str(text: &str) -> Result<Self, InvalidTag> {
        let spelled_well = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        if spelled_well && text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.len() <= 63 {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidTag(text.chars().take(80).collect()))
        }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A tailnet that all machines join.
#[derive(Clone, Debug)]
pub struct Tailscale {
    /// With what a machine joins. It must be reusable, and may use the tag.
    pub auth_key: Secret,
    /// The tag of the machines.
    pub tag: Tag,
    /// The static binaries for x86-64, in the archive that their makers publish.
    pub archive: Artifact,
}

impl Tailscale {
    /// With tailscale 1.102.5 from where its makers publish it. The checksum is that of `tailscale_1.102.5_amd64.tgz.sha256`
    /// beside it.
    pub fn new(auth_key: Secret, tag: Tag) -> Self {
        let archive = Artifact::pinned(
            "https://pkgs.tailscale.com/stable/tailscale_1.102.5_amd64.tgz",
            "sha256:65e6d7f19ad7e1c87d20c2a21e92f38a96795cb897af54b04536590e1c148d12",
        );
        Self { auth_key, tag, archive }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_spelled_without_their_prefix() {
        for good in ["ainekko-k8s-node", "k8s", "A1"] {
            assert!(good.parse::<Tag>().is_ok(), "{good}");
        }
        for bad in ["", "tag:k8s", "1a", "-a", "a b", "a'b", &"a".repeat(64)] {
            assert!(bad.parse::<Tag>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn nothing_prints_the_key() {
        let tailscale = Tailscale::new(Secret::new("tskey-auth-x"), "k8s".parse().unwrap());
        let printed = format!("{tailscale:?}");
        assert!(!printed.contains("tskey") && printed.contains("1.102.5"), "{printed}");
    }
}
