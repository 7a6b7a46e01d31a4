//! Which slot a prompt goes to, so that as little of it as possible is evaluated again.

use clowder_core::engine::Token;

/// A slot, as far as the choice goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate<'a> {
    /// Tokens whose KV it holds.
    pub(crate) resident: &'a [Token],
    /// Whether they were evaluated with the adapter that the prompt asks for: the KV of another is of no use.
    pub(crate) fits: bool,
    /// When it was last used; larger is later. `None` where it is busy.
    pub(crate) free_since: Option<u64>,
}

/// Where a prompt goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    /// The slot it takes.
    pub(crate) slot: usize,
    /// The slot whose prefix it shares, where that is another.
    pub(crate) donor: Option<usize>,
    /// Tokens of the prompt that need no evaluation.
    pub(crate) keep: usize,
}

/// Tokens that two sequences have in common at their beginning.
pub(crate) fn common(a: &[Token], b: &[Token]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}

/// Chooses among slots; `None` where all are busy. `partial` says whether a sequence can be cut and shared at any token;
/// where it cannot, only a sequence that is all prefix counts.
///
/// The longest prefix wins, busy slots included. A free slot that is mostly prefix goes on as it is, as the next turn of
/// its conversation; of any other the prefix is shared with the slot unused for longest, so that both stay.
pub(crate) fn choose(prompt: &[Token], slots: &[Candidate<'_>], partial: bool) -> Option<Choice> {
    // The last token is evaluated in any case: its logits choose the first token of the output.
    let prompt = &prompt[..prompt.len().saturating_sub(1)];
    let held = |slot: usize| {
        let resident = slots[slot].resident;
        let length = if slots[slot].fits { common(prompt, resident) } else { 0 };
        if partial || length == resident.len() { length } else { 0 }
    };
    let free = || (0..slots.len()).filter(|&slot| slots[slot].free_since.is_some());
    let oldest = free().min_by_key(|&slot| (!slots[slot].resident.is_empty(), slots[slot].free_since))?;
    let own = free().max_by_key(|&slot| (held(slot), slots[slot].free_since)).unwrap_or(oldest);
    let own_held = held(own);
    let best = (0..slots.len()).filter(|_| partial).max_by_key(|&slot| held(slot)).unwrap_or(own);
    let best_held = held(best);
    if own_held > 0 && own_held >= best_held && own_held * 2 >= slots[own].resident.len() {
        return Some(Choice { slot: own, donor: None, keep: own_held });
    }
    if best_held == 0 {
        return Some(Choice { slot: oldest, donor: None, keep: 0 });
    }
    let donor = (best != oldest).then_some(best);
    Some(Choice { slot: oldest, donor, keep: best_held })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn free(resident: &[Token], since: u64) -> Candidate<'_> {
        Candidate { resident, fits: true, free_since: Some(since) }
    }

    fn busy(resident: &[Token]) -> Candidate<'_> {
        Candidate { resident, fits: true, free_since: None }
    }

    #[test]
    fn a_conversation_goes_on_where_it_was() {
        let slots = [free(&[9, 9], 5), free(&[1, 2, 3], 1), free(&[], 0)];
        assert_eq!(choose(&[1, 2, 3, 4, 5], &slots, true), Some(Choice { slot: 1, donor: None, keep: 3 }));
    }

    #[test]
    fn a_shared_beginning_is_copied_to_an_empty_slot() {
        let slots = [free(&[1, 2, 7, 7, 7, 7], 5), free(&[], 0)];
        assert_eq!(choose(&[1, 2, 3, 4], &slots, true), Some(Choice { slot: 1, donor: Some(0), keep: 2 }));
    }

    #[test]
    fn a_busy_slot_shares_too() {
        let slots = [busy(&[1, 2, 3]), free(&[1, 8, 8, 8], 1)];
        assert_eq!(choose(&[1, 2, 3, 4], &slots, true), Some(Choice { slot: 1, donor: Some(0), keep: 3 }));
    }

    #[test]
    fn the_last_token_is_always_evaluated() {
        let slots = [free(&[1, 2, 3], 1)];
        assert_eq!(choose(&[1, 2, 3], &slots, true), Some(Choice { slot: 0, donor: None, keep: 2 }));
        assert_eq!(choose(&[1], &slots, true), Some(Choice { slot: 0, donor: None, keep: 0 }));
    }

    #[test]
    fn without_a_prefix_the_oldest_goes() {
        let slots = [free(&[5], 9), free(&[6], 3)];
        assert_eq!(choose(&[1, 2], &slots, true), Some(Choice { slot: 1, donor: None, keep: 0 }));
        assert_eq!(choose(&[1, 2], &[busy(&[])], true), None);
    }

    #[test]
    fn a_state_that_cannot_be_cut_counts_only_whole() {
        let slots = [free(&[1, 2, 9], 5), free(&[1, 2], 1)];
        assert_eq!(choose(&[1, 2, 3, 4], &slots, false), Some(Choice { slot: 1, donor: None, keep: 2 }));
        assert_eq!(choose(&[1, 3, 4], &slots, false), Some(Choice { slot: 1, donor: None, keep: 0 }));
    }

    #[test]
    fn what_another_adapter_evaluated_is_of_no_use() {
        let other = Candidate { fits: false, ..free(&[1, 2, 3], 5) };
        let slots = [other, free(&[7], 6)];
        assert_eq!(choose(&[1, 2, 3, 4], &slots, true), Some(Choice { slot: 0, donor: None, keep: 0 }));
        let slots = [other, free(&[1, 9, 9, 9], 6), free(&[1, 2], 7)];
        assert_eq!(choose(&[1, 2, 3, 4], &slots, true), Some(Choice { slot: 2, donor: None, keep: 2 }));
    }

    proptest! {
        #[test]
        fn what_is_kept_is_a_prefix_and_the_slot_was_free(
            prompt in prop::collection::vec(0_u32..3, 1..8),
            slots in prop::collection::vec(
                (prop::collection::vec(0_u32..3, 0..8), any::<bool>(), prop::option::of(0_u64..9)), 1..5),
            partial: bool,
        ) {
            let candidates: Vec<_> = slots.iter().map(|(resident, fits, since)| Candidate { resident, fits: *fits, free_since: *since }).collect();
            match choose(&prompt, &candidates, partial) {
                None => prop_assert!(slots.iter().all(|(_, _, since)| since.is_none())),
                Some(Choice { slot, donor, keep }) => {
                    prop_assert!(slots[slot].2.is_some());
                    prop_assert!(keep < prompt.len());
                    let (source, fits, _) = &slots[donor.unwrap_or(slot)];
                    prop_assert!(*fits || keep == 0);
                    prop_assert!(source.len() >= keep && source[..keep] == prompt[..keep]);
                    let fitting = slots.iter().filter(|(_, fits, _)| *fits);
                    let best = fitting.map(|(r, ..)| common(&prompt[..prompt.len() - 1], r)).max().unwrap_or(0);
                    prop_assert!(!partial || keep == best);
                }
            }
        }
    }
}
