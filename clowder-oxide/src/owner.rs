//! Whose a thing on the rack is. Oxide has names and descriptions and no labels, so a description ends in a tag.

use crate::cluster::ClusterId;
use clowder_core::infra::PoolName;
use std::fmt;
use std::str::FromStr;

/// What a tag begins with.
const OPEN: &str = "[clowder cluster=";

/// What of a cluster a thing is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// A machine that runs the cluster's control plane, or a disk of one.
    Servers,
    /// A machine of this pool, or a disk of one.
    Pool(PoolName),
    /// What an image is imported by.
    Image,
    /// The address of the API server, the servers' group, rules of the firewall.
    Network,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Servers => f.write_str("servers"),
            Self::Pool(pool) => write!(f, "pool:{pool}"),
            Self::Image => f.write_str("image"),
            Self::Network => f.write_str("network"),
        }
    }
}

impl FromStr for Part {
    type Err = NoTag;

    fn from_str(text: &str) -> Result<Self, NoTag> {
        match text {
            "servers" => Ok(Self::Servers),
            "image" => Ok(Self::Image),
            "network" => Ok(Self::Network),
            _ => text.strip_prefix("pool:").map(|pool| Self::Pool(PoolName(pool.to_owned()))).ok_or(NoTag),
        }
    }
}

/// The end of a description that says whose a thing is: `[clowder cluster=ID part=PART]`.
///
/// Only what bears the tag of a cluster is ever adopted, changed or deleted for it; a name alone says nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag {
    /// The cluster.
    pub cluster: ClusterId,
    /// What of it.
    pub part: Part,
}

/// A description without a tag.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the description bears no tag of a cluster")]
pub struct NoTag;

impl Tag {
    /// A description for people that ends in the tag.
    pub fn describe(&self, what: &str) -> String {
        format!("{what} {self}")
    }

    /// The tag at the end of a description.
    ///
    /// # Errors
    /// [`NoTag`] where there is none in just the spelling that is written.
    pub fn of(description: &str) -> Result<Self, NoTag> {
        let start = description.rfind(OPEN).ok_or(NoTag)?;
        let inner = description[start + OPEN.len()..].strip_suffix(']').ok_or(NoTag)?;
        let (cluster, part) = inner.split_once(" part=").ok_or(NoTag)?;
        Ok(Self { cluster: cluster.parse().map_err(|_| NoTag)?, part: part.parse()? })
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{OPEN}{} part={}]", self.cluster, self.part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tags() -> impl Strategy<Value = Tag> {
        let part = prop_oneof![
            Just(Part::Servers),
            Just(Part::Image),
            Just(Part::Network),
            "[a-z][a-z0-9-]{0,20}".prop_map(|pool| Part::Pool(PoolName(pool))),
        ];
        ("[a-z][a-z0-9-]{0,20}[a-z0-9]", part)
            .prop_map(|(cluster, part)| Tag { cluster: cluster.parse().unwrap(), part })
    }

    proptest! {
        #[test]
        fn what_was_described_is_known_again(tag in tags(), what in "[ -~]{0,80}") {
            prop_assert_eq!(Tag::of(&tag.describe(&what)), Ok(tag));
        }

        #[test]
        fn any_description_has_a_tag_in_its_one_spelling_or_none(description in "(\\PC{0,20}|\\[clowder cluster=[a-z =:\\]]{0,30})") {
            if let Ok(tag) = Tag::of(&description) {
                prop_assert!(description.ends_with(&tag.to_string()));
            }
        }
    }

    #[test]
    fn what_only_speaks_of_clowder_bears_no_tag() {
        for foreign in [
            "",
            "clowder",
            "[clowder cluster=a part=servers] and more",
            "[clowder cluster=a part=everything]",
            "[clowder cluster=A part=servers]",
            "[clowder cluster=a]",
        ] {
            assert_eq!(Tag::of(foreign), Err(NoTag), "{foreign}");
        }
    }
}
