//! What the draft model guesses goes into the next batch.

use super::{Part, Scheduler};
use crate::engine::draft::Ask;
use crate::engine::evaluator::Evaluator;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

impl<E: Evaluator> Scheduler<E> {
    /// Has the draft model guess how the sequences in mid-output go on whose clients read.
    pub(super) fn guess(&mut self) {
        let Some(drafter) = &mut self.drafter else { return };
        let generations = self.slots.iter_mut().filter_map(|slot| slot.generation.as_mut());
        generations.for_each(|generation| generation.guesses.clear());
        if !drafter.is_worth_it() {
            return;
        }
        let active = self.slots.iter().filter(|slot| slot.generation.is_some()).count();
        // A batch holds a token and the guesses of each.
        let share = (self.limits.batch / active.max(1)).saturating_sub(1);
        let mut wanted = vec![0; self.slots.len()];
        for (slot, wanted) in self.slots.iter_mut().zip(&mut wanted) {
            let Some(generation) = &mut slot.generation else { continue };
            if slot.resident.len() + 1 != generation.tokens.len() || !generation.reply.has_room() {
                continue;
            }
            // One token comes in any case.
            let left = generation.most.saturating_sub(generation.completion() + 1);
            let bounds = [drafter.reach(generation.tokens.len()), share, left, generation.reply.room()];
            let most = bounds.into_iter().min().unwrap_or(0);
            *wanted = if most > 0 { generation.length.next(most) } else { 0 };
        }
        let ask = |(slot, most): (usize, usize)| {
            let generation = self.slots[slot].generation.as_ref()?;
            Some(Ask { slot, tokens: &generation.tokens, most, ends: !generation.ignore_eos })
        };
        let asks: Vec<Ask<'_>> = wanted.into_iter().enumerate().filter(|(_, most)| *most > 0).filter_map(ask).collect();
        let guesses = drafter.guess(&asks);
        let slots: Vec<usize> = asks.iter().map(|ask| ask.slot).collect();
        match guesses {
            Ok(guesses) => slots.into_iter().zip(guesses).for_each(|(slot, guesses)| {
                if let (Some(generation), Some(guesses)) = (&mut self.slots[slot].generation, guesses) {
                    if guesses.is_empty() {
                        generation.length.learn(0, 0);
                    }
                    generation.guesses = guesses;
                }
            }),
            Err(error) => {
                tracing::error!(%error, "the draft model cannot be evaluated: generations go on without it");
                self.drafter = None;
            }
        }
    }

    /// Has the drafter learn what a step took that began then with these parts, where it had output alone.
    pub(super) fn judge(&mut self, begun: Instant, parts: &[Part], tokens_before: u64) {
        let Some(drafter) = &mut self.drafter else { return };
        if parts.iter().all(|part| part.to - part.from == 1) && !parts.is_empty() {
            let tokens = self.counters.completion_tokens.load(Relaxed).saturating_sub(tokens_before);
            drafter.learn(parts.len(), usize::try_from(tokens).unwrap_or(usize::MAX), begun.elapsed());
        }
    }
}
