//! What this machine is and can give.

use clowder_core::NodeName;
use clowder_core::node::Capacity;
use std::thread::available_parallelism;
use sysinfo::System;

const MIB: u64 = 1 << 20;
const SMALLEST_RESERVE: u64 = 512 * MIB;
const LARGEST_RESERVE: u64 = 4096 * MIB;

/// The host's name, `localhost` where it has none.
pub(super) fn host_name() -> NodeName {
    NodeName(System::host_name().ok().filter(|name| !name.is_empty()).unwrap_or_else(|| "localhost".to_owned()))
}

/// What workers may take of this machine: `memory` bytes if said, else what is there less a reserve.
pub(super) fn capacity(memory: Option<u64>) -> Capacity {
    Capacity {
        memory: memory.unwrap_or_else(|| without_reserve(total_memory())),
        cores: available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX)),
        accelerators: Vec::new(),
    }
}

/// Bytes of memory of the machine, or of the control group that this process is in where that has less.
fn total_memory() -> u64 {
    let Ok(mut system) = System::new() else { return 0 };
    system.refresh_memory();
    let machine = system.total_memory();
    system.cgroup_limits().map_or(machine, |limits| limits.total_memory.min(machine))
}

/// What is left of `total` for workers: the system and the programs beside them need a tenth, within bounds, and never
/// more than half.
fn without_reserve(total: u64) -> u64 {
    let reserve = (total / 10).clamp(SMALLEST_RESERVE, LARGEST_RESERVE).min(total / 2);
    total - reserve
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_is_a_tenth_within_bounds() {
        assert_eq!(without_reserve(10_240 * MIB), 9_216 * MIB);
        assert_eq!(without_reserve(2_048 * MIB), 1_536 * MIB);
        assert_eq!(without_reserve(512 * MIB), 256 * MIB);
        assert_eq!(without_reserve(262_144 * MIB), 258_048 * MIB);
        assert_eq!(without_reserve(0), 0);
    }

    #[test]
    fn this_machine_has_memory_and_cores() {
        let capacity = capacity(None);
        assert!(capacity.memory > 0 && capacity.cores > 0, "{capacity:?}");
        assert_eq!(super::capacity(Some(7)).memory, 7);
        assert!(!host_name().as_str().is_empty());
    }
}
