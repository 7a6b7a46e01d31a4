//! The memory of a machine that workers do not get.

pub(crate) const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Shares of memory in per cent, each of the GiB up to the given one.
const TIERS: [(u64, u64); 4] = [(4, 25), (8, 20), (16, 10), (128, 6)];

/// The share of all memory above the tiers, in per cent.
const ABOVE: u64 = 2;

/// Free memory below which a kubelet evicts Pods.
pub(crate) const EVICTION: u64 = 100 * MIB;

/// Bytes of a machine of `memory` bytes that its system keeps for itself: kernel, its page tables, kubelet, container
/// runtime, storage manager.
///
/// It is the rule of Google's Kubernetes Engine: 25 % of the first 4 GiB, 20 % of the next 4, 10 % of the next 8, 6 % of
/// the next 112, 2 % of all above, and 100 MiB under which a kubelet evicts. Why an estimate at all? It answers how much
/// a machine that does not exist yet would give. Once the machine is a node, its backend says what it really gives.
pub fn system_reserve(memory: u64) -> u64 {
    let (mut from, mut reserve) = (0, EVICTION);
    for (gib, percent) in TIERS {
        let to = memory.min(gib * GIB);
        reserve += (to - from) / 100 * percent;
        from = to;
    }
    (reserve + (memory - from) / 100 * ABOVE).min(memory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_table_holds() {
        // Google's own examples, in MiB, without the 100 for evictions.
        for (gib, mib) in [(1, 256), (4, 1024), (8, 1843), (16, 2662), (64, 5612), (128, 9544), (256, 12_165)] {
            let reserve = (system_reserve(gib * GIB) - EVICTION) / MIB;
            assert!(reserve.abs_diff(mib) <= 1, "{gib} GiB: {reserve} MiB");
        }
    }

    #[test]
    fn it_is_never_more_than_there_is() {
        assert_eq!(system_reserve(0), 0);
        assert_eq!(system_reserve(MIB), MIB);
        assert!(system_reserve(u64::MAX) < u64::MAX / 10);
    }
}
