//! Settings on trial: which requests go to the workers that run under them.

use crate::endpoint::WorkerKey;
use crate::policy::{Fingerprint, Recent};
use clowder_core::ModelSpec;
use clowder_core::model::Revision;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

/// Conversations remembered of each group.
const CONVERSATIONS: usize = 4096;
/// Hundredths of a request by which the trial may be ahead or behind before a conversation moves to the other group: ten
/// requests.
const MOST: i32 = 1000;

/// Workers of a model by the settings that they run under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    /// The model's own, be it of an earlier revision.
    Own,
    /// Those on trial.
    Trial,
}

impl Group {
    /// Its name in the metrics.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Trial => "trial",
        }
    }
}

/// A model's trial, as requests see it.
#[derive(Clone)]
pub(crate) struct Trial {
    /// Requests of a hundred that go to its workers.
    weight: u8,
    pub(crate) revision: Revision,
    /// Those that serve.
    pub(crate) workers: HashSet<WorkerKey>,
    split: Arc<Mutex<Split>>,
}

impl Trial {
    /// The trial of a model, still without workers; it goes on counting where the one `before` was of the same settings.
    pub(crate) fn of(spec: &ModelSpec, before: Option<&Self>) -> Option<Self> {
        let weight = spec.rollout.canary.as_ref()?.weight;
        let revision = spec.on_trial()?.revision();
        let split = before.filter(|before| before.revision == revision).map(|before| before.split.clone());
        Some(Self { weight, revision, workers: HashSet::new(), split: split.unwrap_or_default() })
    }

    pub(crate) fn group(&self, worker: WorkerKey) -> Group {
        if self.workers.contains(&worker) { Group::Trial } else { Group::Own }
    }

    /// Where a request goes that could go to either. Asked again, it says the same, until one [was sent](Self::sent).
    pub(crate) fn prefers(&self, prompt: &Fingerprint) -> Group {
        self.split.lock().unwrap_or_else(PoisonError::into_inner).prefers(self.weight, prompt)
    }

    /// A request that could have gone to either went to this one.
    pub(crate) fn sent(&self, prompt: &Fingerprint, group: Group) {
        self.split.lock().unwrap_or_else(PoisonError::into_inner).sent(self.weight, prompt, group);
    }
}

/// Deals requests out, one by one: no chance is in it, so that a share is the same over any few of them.
///
/// A conversation stays with the settings that it began with, for as long as the share allows it: who talks with a model should
/// not meet another one in the middle, and its worker has the beginning in its cache.
struct Split {
    /// Hundredths of a request that the trial is behind its share.
    behind: i32,
    /// The ends of the prompts that went to each group. A prompt that goes on from there is the same conversation's.
    own: Recent,
    trial: Recent,
}

impl Default for Split {
    fn default() -> Self {
        Self { behind: 50, own: Recent::default(), trial: Recent::default() }
    }
}

impl Split {
    fn prefers(&self, weight: u8, prompt: &Fingerprint) -> Group {
        let behind = self.behind + i32::from(weight);
        match self.began_with(prompt) {
            Some(group) if behind.abs() <= MOST => group,
            _ if behind >= 100 => Group::Trial,
            _ => Group::Own,
        }
    }

    /// The group that has the prompt's conversation. The same prompt again is another conversation, and a beginning that both
    /// know says nothing.
    fn began_with(&self, prompt: &Fingerprint) -> Option<Group> {
        let earlier = prompt.blocks().split_last()?.1;
        earlier.iter().rev().find_map(|block| match (self.own.contains(block.hash), self.trial.contains(block.hash)) {
            (true, false) => Some(Group::Own),
            (false, true) => Some(Group::Trial),
            _ => None,
        })
    }

    fn sent(&mut self, weight: u8, prompt: &Fingerprint, group: Group) {
        let (given, recent) = match group {
            Group::Own => (0, &mut self.own),
            Group::Trial => (100, &mut self.trial),
        };
        self.behind = (self.behind + i32::from(weight) - given).clamp(-MOST - 100, MOST + 100);
        if let Some(end) = prompt.blocks().last() {
            recent.touch(end.hash, CONVERSATIONS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::FingerprintBuilder;
    use clowder_core::model::Canary;
    use proptest::prelude::*;

    fn trial(weight: u8) -> Trial {
        Trial::of(&spec(weight), None).unwrap()
    }

    fn spec(weight: u8) -> ModelSpec {
        let mut spec = ModelSpec::new("m".parse().unwrap(), "builtin:m".parse().unwrap());
        let mut engine = spec.engine.clone();
        engine.slots = Some(2);
        spec.rollout.canary = Some(Canary { weight, engine });
        spec
    }

    fn prompt(messages: &[&str]) -> Fingerprint {
        let mut builder = FingerprintBuilder::new("m");
        messages.iter().for_each(|message| builder.part(message.as_bytes()));
        builder.finish()
    }

    fn send(trial: &Trial, prompt: &Fingerprint) -> Group {
        let group = trial.prefers(prompt);
        assert_eq!(trial.prefers(prompt), group, "asking alone changes nothing");
        trial.sent(prompt, group);
        group
    }

    proptest! {
        #[test]
        fn any_few_requests_have_the_share(weight in Canary::WEIGHTS, skip in 0_usize..300, few in 1_usize..300) {
            let (trial, hello) = (trial(weight), prompt(&["hello"]));
            for _ in 0..skip {
                send(&trial, &hello);
            }
            let tried = (0..few).filter(|_| send(&trial, &hello) == Group::Trial).count();
            let share = few as f64 * f64::from(weight) / 100.0;
            prop_assert!((tried as f64 - share).abs() <= 1.0, "{tried} of {few}, {share} is the share");
        }

        #[test]
        fn conversations_stay_where_they_began(
            weight in Canary::WEIGHTS, turns in prop::collection::vec(0_usize..20, 1..400)
        ) {
            let trial = trial(weight);
            let mut talks: Vec<(Vec<String>, Option<Group>)> = vec![(Vec::new(), None); 20];
            let (mut tried, mut moved) = (0_i32, 0);
            for (sent, turn) in (1_i32..).zip(turns) {
                let (talk, group) = &mut talks[turn];
                talk.push(format!("{turn}: {}", talk.len()));
                let now = send(&trial, &prompt(&talk.iter().map(String::as_str).collect::<Vec<_>>()));
                moved += i32::from(group.is_some_and(|group| group != now));
                *group = Some(now);
                tried += i32::from(now == Group::Trial);
                let off = tried * 100 - sent * i32::from(weight);
                prop_assert!(off.abs() <= MOST + 150, "{off} hundredths of a request off");
                // Nobody moves before the share is off by nearly as much as it may be.
                prop_assert!(moved == 0 || sent >= MOST / 100);
            }
        }
    }

    #[test]
    fn a_conversation_is_told_by_how_it_goes_on() {
        let trial = trial(50);
        let talks = ["a", "b", "c", "d"].map(|name| (name, send(&trial, &prompt(&["be brief", name]))));
        assert_eq!(talks.iter().filter(|(_, group)| *group == Group::Trial).count(), 2);
        for (name, group) in talks {
            assert_eq!(send(&trial, &prompt(&["be brief", name, "an answer", "and then?"])), group, "{name}");
        }
        let again: Vec<Group> = (0..4).map(|_| send(&trial, &prompt(&["hello"]))).collect();
        assert_eq!(again, [Group::Trial, Group::Own, Group::Trial, Group::Own], "the same again is another one");
    }

    #[test]
    fn other_settings_begin_anew_and_another_weight_goes_on() {
        let first = trial(10);
        let hello = prompt(&["hello"]);
        for _ in 0..4 {
            send(&first, &hello);
        }
        let heavier = Trial::of(&spec(20), Some(&first)).unwrap();
        assert_eq!(send(&heavier, &hello), Group::Trial);
        let mut other = spec(10);
        other.rollout.canary.as_mut().unwrap().engine.slots = Some(3);
        assert_eq!(send(&Trial::of(&other, Some(&first)).unwrap(), &hello), Group::Own);
        other.rollout.canary = None;
        assert!(Trial::of(&other, Some(&first)).is_none());
    }
}
