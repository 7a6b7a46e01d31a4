//! What a machine is called.

use clowder_core::NodeName;
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// The highest ordinal of a machine; with it, names of disks keep all that tells them apart in their first 20 characters.
pub const MAX_ORDINAL: u32 = 99_999;

/// The longest prefix, in characters: a disk's name holds it and 18 others, and 63 are allowed.
const MAX_PREFIX: usize = 40;

/// What the names of a pool's machines begin with: `clowder-worker-`.
///
/// 2 to 40 lower-case letters, digits and `-`, a letter first and a `-` last. The `-` makes two pools safe from each
/// other whatever their prefixes: an ordinal has none, so a name has one prefix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolPrefix(String);

/// A string that is no [`PoolPrefix`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "prefix {0:?} is not usable: take 2 to {MAX_PREFIX} lower-case letters, digits and '-', beginning with a letter and ending in '-'"
)]
pub struct InvalidPrefix(pub String);

impl PoolPrefix {
    /// The prefix as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for PoolPrefix {
    /// `clowder-worker-`
    fn default() -> Self {
        Self("clowder-worker-".to_owned())
    }
}

impl FromStr for PoolPrefix {
    type Err = InvalidPrefix;

    fn from_str(text: &str) -> Result<Self, InvalidPrefix> {
        let spelled_well = text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        let ends_well = text.starts_with(|c: char| c.is_ascii_lowercase()) && text.ends_with('-');
        if spelled_well && ends_well && text.len() <= MAX_PREFIX {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidPrefix(text.chars().take(80).collect()))
        }
    }
}

impl fmt::Display for PoolPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A machine of a pool: `PREFIX` and an ordinal. It is the name of the instance, its host name and its node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MachineName {
    prefix: PoolPrefix,
    ordinal: u32,
}

/// An ordinal above [`MAX_ORDINAL`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("machine {0} of a pool: there are none above {MAX_ORDINAL}")]
pub struct InvalidOrdinal(pub u32);

impl MachineName {
    /// The `ordinal`th machine of the pool with this prefix.
    ///
    /// # Errors
    /// [`InvalidOrdinal`] above [`MAX_ORDINAL`].
    pub fn new(prefix: PoolPrefix, ordinal: u32) -> Result<Self, InvalidOrdinal> {
        if ordinal > MAX_ORDINAL {
            return Err(InvalidOrdinal(ordinal));
        }
        Ok(Self { prefix, ordinal })
    }

    /// Which machine of the pool an instance of this name is; `None` where it is not the pool's. Only the one spelling
    /// that `Display` gives is the pool's: `worker-007` is somebody else's.
    pub fn parse(prefix: &PoolPrefix, instance: &str) -> Option<Self> {
        let ordinal = parse_ordinal(instance.strip_prefix(prefix.as_str())?)?;
        Some(Self { prefix: prefix.clone(), ordinal })
    }

    /// What its name begins with.
    pub fn prefix(&self) -> &PoolPrefix {
        &self.prefix
    }

    /// Which one it is.
    pub fn ordinal(&self) -> u32 {
        self.ordinal
    }

    /// The node it is, once it has joined a cluster.
    pub fn node(&self) -> NodeName {
        NodeName(self.to_string())
    }
}

impl fmt::Display for MachineName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.prefix, self.ordinal)
    }
}

/// An ordinal in its one spelling.
pub(crate) fn parse_ordinal(text: &str) -> Option<u32> {
    let ordinal = text.parse::<u32>().ok().filter(|ordinal| *ordinal <= MAX_ORDINAL)?;
    (ordinal.to_string() == text).then_some(ordinal)
}

/// The ordinals that are free, lowest first. Give it those of a pool's instances *and* of its disks: a disk left over
/// from a machine that is gone still has its name.
pub fn free_ordinals(taken: impl IntoIterator<Item = u32>) -> impl Iterator<Item = u32> {
    let taken: BTreeSet<u32> = taken.into_iter().collect();
    (0..=MAX_ORDINAL).filter(move |ordinal| !taken.contains(ordinal))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Oxide's rule for names, capitals left out. It takes no UUIDs either: those have 12 digits after their last `-` and
    /// 8 before their first, an instance here at most 5 and a disk at most 2.
    pub(crate) fn oxide_takes(name: &str) -> bool {
        name.len() <= 63
            && name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
            && !name.ends_with('-')
    }

    pub(crate) fn prefixes() -> impl Strategy<Value = PoolPrefix> {
        "[a-z][a-z0-9-]{0,38}-".prop_map(|text| text.parse().unwrap())
    }

    pub(crate) fn machines() -> impl Strategy<Value = MachineName> {
        (prefixes(), 0..=MAX_ORDINAL).prop_map(|(prefix, ordinal)| MachineName::new(prefix, ordinal).unwrap())
    }

    #[test]
    fn prefixes_that_would_make_bad_names_are_refused() {
        for good in ["clowder-worker-", "ainekko-control-plane-", "w-", "a1--"] {
            assert!(good.parse::<PoolPrefix>().is_ok(), "{good}");
        }
        for bad in ["", "-", "worker", "1-", "Worker-", "w_-", "wörker-", &format!("{}-", "w".repeat(40))] {
            assert!(bad.parse::<PoolPrefix>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn only_the_pools_own_spelling_is_the_pools() {
        let prefix: PoolPrefix = "w-".parse().unwrap();
        let ordinal = |name| MachineName::parse(&prefix, name).map(|machine| machine.ordinal());
        assert_eq!(ordinal("w-0"), Some(0));
        assert_eq!(ordinal("w-99999"), Some(99_999));
        for foreign in ["w-", "w-00", "w-07", "w-+7", "w-7a", "w-100000", "w-99999999999", "x-7", "w-7-8", "w-w-7", "7"]
        {
            assert_eq!(ordinal(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn no_machine_is_numbered_beyond_the_last() {
        let made = MachineName::new("w-".parse().unwrap(), MAX_ORDINAL + 1);
        assert_eq!(made, Err(InvalidOrdinal(100_000)));
    }

    #[test]
    fn free_ordinals_fill_gaps_first() {
        assert_eq!(free_ordinals([0, 2, 2, 5]).take(4).collect::<Vec<_>>(), [1, 3, 4, 6]);
        assert_eq!(free_ordinals(0..=MAX_ORDINAL).next(), None);
    }

    proptest! {
        #[test]
        fn a_name_says_whose_and_which_it_is(machine in machines(), other in prefixes()) {
            let name = machine.to_string();
            prop_assert!(oxide_takes(&name), "{name}");
            let found = MachineName::parse(machine.prefix(), &name);
            prop_assert_eq!(found.as_ref(), Some(&machine));
            if other != *machine.prefix() {
                prop_assert_eq!(MachineName::parse(&other, &name), None);
            }
        }

        #[test]
        fn any_text_parses_to_its_own_spelling_or_not_at_all(prefix in prefixes(), rest in "[0-9a-z+-]{0,8}") {
            let name = format!("{prefix}{rest}");
            if let Some(machine) = MachineName::parse(&prefix, &name) {
                prop_assert_eq!(machine.to_string(), name);
            }
        }
    }
}
