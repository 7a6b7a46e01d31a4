//! What a machine's disks are called.

use crate::machine::{MachineName, PoolPrefix, parse_ordinal};
use std::fmt;

/// The most data disks of a machine: Oxide attaches 8 disks to an instance, and one is the root disk.
pub const MAX_DATA_DISKS: u8 = 7;

/// The characters of a disk's name that are its serial number.
const SERIAL: usize = 20;

/// What a disk is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DiskRole {
    /// The machine starts from it.
    Root,
    /// It holds data: models, first of all. Counted from 0, below [`MAX_DATA_DISKS`].
    Data(u8),
}

impl DiskRole {
    fn parse(text: &str) -> Option<Self> {
        match text.as_bytes() {
            b"r" => Some(Self::Root),
            [b'd', digit] if digit.is_ascii_digit() => {
                Some(digit - b'0').filter(|index| *index < MAX_DATA_DISKS).map(Self::Data)
            }
            _ => None,
        }
    }
}

impl fmt::Display for DiskRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("r"),
            Self::Data(index) => write!(f, "d{index}"),
        }
    }
}

/// A disk of a machine: `ROLE-ORDINAL-HASH-PREFIX`, as in `d0-12-1cdc3a89-clowder-worker`.
///
/// Role, ordinal and the hash of the pool's prefix take at most 17 characters, so they are all in the [serial
/// number](Self::serial): it differs among the disks of one machine and of one pool, and among pools as far as 32 bits
/// tell their prefixes apart. The prefix at the end is for people.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DiskName {
    machine: MachineName,
    role: DiskRole,
}

impl DiskName {
    /// The disk from which a machine starts.
    pub fn root(machine: MachineName) -> Self {
        Self { machine, role: DiskRole::Root }
    }

    /// A data disk of a machine; `None` where it can have no such: `index` is below [`MAX_DATA_DISKS`].
    pub fn data(machine: MachineName, index: u8) -> Option<Self> {
        (index < MAX_DATA_DISKS).then_some(Self { machine, role: DiskRole::Data(index) })
    }

    /// Which disk of the pool one of this name is; `None` where it is not the pool's.
    pub fn parse(prefix: &PoolPrefix, disk: &str) -> Option<Self> {
        let (role, rest) = disk.split_once('-')?;
        let (ordinal, rest) = rest.split_once('-')?;
        let (hash, tail) = rest.split_once('-')?;
        let own = hash == self::hash(prefix.as_str()) && tail == tail_of(prefix);
        let machine = MachineName::new(prefix.clone(), parse_ordinal(ordinal)?).ok()?;
        own.then_some(Self { machine, role: DiskRole::parse(role)? })
    }

    /// Whose disk it is.
    pub fn machine(&self) -> &MachineName {
        &self.machine
    }

    /// What it is for.
    pub fn role(&self) -> DiskRole {
        self.role
    }

    /// The serial number under which the guest finds it (in `/dev/disk/by-id`, after the model), whatever order the
    /// devices come in.
    pub fn serial(&self) -> String {
        self.to_string().chars().take(SERIAL).collect()
    }
}

impl fmt::Display for DiskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = self.machine.prefix();
        write!(f, "{}-{}-{}-{}", self.role, self.machine.ordinal(), hash(prefix.as_str()), tail_of(prefix))
    }
}

/// The prefix without the `-` in which no name may end.
fn tail_of(prefix: &PoolPrefix) -> &str {
    prefix.as_str().trim_end_matches('-')
}

/// FNV-1a over 64 bits, folded to 32: it tells apart, it does not protect.
pub(crate) fn hash(text: &str) -> String {
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{:08x}", (hash >> 32) ^ (hash & 0xffff_ffff))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::MAX_ORDINAL;
    use crate::machine::tests::{machines, oxide_takes, prefixes};
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn disks(machine: &MachineName) -> Vec<DiskName> {
        let data = (0..MAX_DATA_DISKS).map(|index| DiskName::data(machine.clone(), index).unwrap());
        std::iter::once(DiskName::root(machine.clone())).chain(data).collect()
    }

    #[test]
    fn a_machine_has_no_more_data_disks_than_can_be_attached() {
        let machine = MachineName::new("w-".parse().unwrap(), 0).unwrap();
        assert_eq!(DiskName::data(machine, MAX_DATA_DISKS), None);
    }

    #[test]
    fn what_is_not_spelled_as_the_pool_would_is_not_its_own() {
        let prefix: PoolPrefix = "w-".parse().unwrap();
        let own = DiskName::root(MachineName::new(prefix.clone(), 3).unwrap()).to_string();
        assert!(DiskName::parse(&prefix, &own).is_some());
        for foreign in [
            own.replace("r-", "x-"),
            own.replace("r-", "d7-"),
            own.replace("r-", "d00-"),
            own.replace("-3-", "-03-"),
            own.replace("-w", "-v"),
            own.replace("-w", ""),
            format!("{own}-0"),
            own.to_uppercase(),
            "w-3".to_owned(),
            String::new(),
        ] {
            assert_eq!(DiskName::parse(&prefix, &foreign), None, "{foreign}");
        }
    }

    proptest! {
        #[test]
        fn a_name_is_taken_and_parses_back(machine in machines(), other in prefixes()) {
            for disk in disks(&machine) {
                let name = disk.to_string();
                prop_assert!(oxide_takes(&name), "{name}");
                let found = DiskName::parse(machine.prefix(), &name);
                prop_assert_eq!(found.as_ref(), Some(&disk));
                if other != *machine.prefix() {
                    prop_assert_eq!(DiskName::parse(&other, &name), None);
                }
            }
        }

        #[test]
        fn serials_differ_among_all_disks(
            pools in proptest::collection::btree_set(prefixes(), 1..4),
            ordinals in proptest::collection::btree_set(0..=MAX_ORDINAL, 1..6),
        ) {
            let mut serials = BTreeSet::new();
            for prefix in &pools {
                for ordinal in &ordinals {
                    let machine = MachineName::new(prefix.clone(), *ordinal).unwrap();
                    for disk in disks(&machine) {
                        let serial = disk.serial();
                        prop_assert!(serial.len() <= 20);
                        prop_assert!(serials.insert(serial), "{disk}");
                    }
                }
            }
        }
    }
}
