//! How workers of one revision are replaced by those of another, and how settings are tried before they are.

use super::EngineSettings;
use serde::{Deserialize, Serialize};

/// How workers of an earlier revision are replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rollout {
    /// The most workers there are beyond the replicas meanwhile; 0 stops an old one before a new one starts. `None` starts
    /// all new ones for which there is room.
    pub surge: Option<u32>,
    /// Settings on trial beside the model's own.
    pub canary: Option<Canary>,
}

impl Rollout {
    /// The largest surge.
    pub const MOST_SURGE: u32 = 1000;

    /// How so many replicas are shared between the model's own settings and those on trial.
    ///
    /// The trial has its weight of them, rounded, and each of the two has one at least: beside a single replica the one on
    /// trial is one more. Of more replicas neither has fewer.
    pub fn shares(&self, replicas: u32) -> Shares {
        let Some(canary) = self.canary.as_ref().filter(|_| replicas > 0) else {
            return Shares { own: replicas, trial: 0 };
        };
        let weighed = (u64::from(replicas) * u64::from(canary.weight) + 50) / 100;
        let trial = u32::try_from(weighed).unwrap_or(u32::MAX).min(replicas - 1).max(1);
        Shares { own: replicas.saturating_sub(trial).max(1), trial }
    }
}

/// Replicas by the settings that they run under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// Under the model's own.
    pub own: u32,
    /// Under those on trial.
    pub trial: u32,
}

impl Shares {
    /// All of them.
    pub fn total(self) -> u32 {
        self.own.saturating_add(self.trial)
    }
}

/// Settings on trial: some replicas run under them, and that share of the requests goes to those.
///
/// Why does the trial say its settings, and not the model the ones of before? So what is desired says all of it: no history
/// is needed to start a worker of either kind again. Who is content moves the settings to the model and takes the trial
/// away, and the workers that ran under them stay.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Canary {
    /// Requests of a hundred that go to workers on trial, and replicas of a hundred that are such, at least one.
    pub weight: u8,
    /// How those run the model, in place of the model's own settings.
    #[serde(default)]
    pub engine: EngineSettings,
}

impl Canary {
    /// What a weight may be: none and all of the requests are no trial.
    pub const WEIGHTS: std::ops::RangeInclusive<u8> = 1..=99;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shares(weight: u8, replicas: u32) -> (u32, u32) {
        let canary = Some(Canary { weight, engine: EngineSettings::default() });
        let Shares { own, trial } = Rollout { canary, ..Rollout::default() }.shares(replicas);
        (own, trial)
    }

    #[test]
    fn each_has_its_weight_and_one_at_least() {
        assert_eq!(Rollout::default().shares(3), Shares { own: 3, trial: 0 });
        let of_ten = [1, 10, 14, 15, 50, 99].map(|weight| shares(weight, 10));
        assert_eq!(of_ten, [(9, 1), (9, 1), (9, 1), (8, 2), (5, 5), (1, 9)]);
        assert_eq!([0, 1, 2].map(|replicas| shares(99, replicas)), [(0, 0), (1, 1), (1, 1)]);
    }

    proptest! {
        #[test]
        fn neither_has_fewer_of_more(weight in Canary::WEIGHTS, replicas in 2_u32..2000) {
            let (less, more) = (shares(weight, replicas - 1), shares(weight, replicas));
            prop_assert!(less.0 <= more.0 && less.1 <= more.1, "{:?} {:?}", less, more);
            prop_assert_eq!(more.0 + more.1, replicas);
        }
    }
}
