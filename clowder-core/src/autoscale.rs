//! Autoscaling: how many replicas the demand for a model is worth.
//!
//! Up at once: whoever waits should not wait for an average. Down late: only when the demand has needed no more for the
//! whole of a delay, and then to the most that it needed meanwhile, so that a demand that comes in waves keeps its
//! workers.

use crate::model::ModelName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// The bounds within which a model's replicas follow its demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Autoscaling {
    /// The fewest replicas; 0 lets the model sleep while nobody asks for it.
    pub min: u32,
    /// The most replicas.
    pub max: u32,
    /// Requests at the same time that one replica is worth.
    pub target: u32,
    /// Seconds for which fewer must have been enough before replicas go.
    pub scale_down_delay: u32,
}

impl Default for Autoscaling {
    /// Between 1 and 1, a replica for every four requests, five minutes' delay.
    fn default() -> Self {
        Self { min: 1, max: 1, target: 4, scale_down_delay: 300 }
    }
}

/// Bounds that no number keeps.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidAutoscaling {
    /// There may be no replica at all.
    #[error("max is 0: set it to 1 or more, or take replicas: 0 instead of autoscaling")]
    NoReplicas,
    /// The bounds are the wrong way round.
    #[error("min {min} is above max {max}")]
    Bounds {
        /// The fewest.
        min: u32,
        /// The most.
        max: u32,
    },
    /// A replica would be worth no request.
    #[error("target is 0: set it to the requests at the same time that one replica is worth")]
    NoTarget,
}

impl Autoscaling {
    /// # Errors
    /// [`InvalidAutoscaling`]
    pub fn check(&self) -> Result<(), InvalidAutoscaling> {
        match *self {
            Self { max: 0, .. } => Err(InvalidAutoscaling::NoReplicas),
            Self { min, max, .. } if min > max => Err(InvalidAutoscaling::Bounds { min, max }),
            Self { target: 0, .. } => Err(InvalidAutoscaling::NoTarget),
            _ => Ok(()),
        }
    }

    /// The replicas that so many requests at the same time are worth.
    pub fn replicas(&self, requests: u32) -> u32 {
        requests.div_ceil(self.target.max(1)).clamp(self.min.min(self.max), self.max)
    }

    fn delay(&self) -> Duration {
        Duration::from_secs(self.scale_down_delay.into())
    }
}

/// Follows the demand of models.
#[derive(Debug, Default)]
pub struct Autoscaler {
    models: BTreeMap<ModelName, Following>,
}

#[derive(Debug)]
struct Following {
    replicas: u32,
    /// Since when fewer would have been enough, and the most that was needed since.
    fewer: Option<(Instant, u32)>,
}

impl Autoscaler {
    /// The replicas of a model, now that it has so many requests. `running` is how many live workers it has: where
    /// nothing is known of it yet, it keeps those.
    pub fn replicas(
        &mut self,
        model: &ModelName,
        bounds: &Autoscaling,
        requests: u32,
        running: u32,
        now: Instant,
    ) -> u32 {
        let needed = bounds.replicas(requests);
        let known = self.models.entry(model.clone()).or_insert(Following { replicas: running, fewer: None });
        known.replicas = known.replicas.clamp(bounds.min.min(bounds.max), bounds.max);
        if needed >= known.replicas {
            *known = Following { replicas: needed, fewer: None };
            return needed;
        }
        let (since, most) = known.fewer.map_or((now, needed), |(since, most)| (since, most.max(needed)));
        if now.duration_since(since) < bounds.delay() {
            known.fewer = Some((since, most));
        } else {
            // What is still more than enough begins a delay of its own.
            *known = Following { replicas: most, fewer: (needed < most).then_some((now, needed)) };
        }
        known.replicas
    }

    /// When the first delay ends; `bounds` gives those of a model.
    pub fn next(&self, bounds: impl Fn(&ModelName) -> Option<Autoscaling>) -> Option<Instant> {
        let end = |(model, known): (&ModelName, &Following)| Some(known.fewer?.0 + bounds(model)?.delay());
        self.models.iter().filter_map(end).min()
    }

    /// Forgets all models but these.
    pub fn retain(&mut self, keep: impl Fn(&ModelName) -> bool) {
        self.models.retain(|model, _| keep(model));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BOUNDS: Autoscaling = Autoscaling { min: 0, max: 5, target: 2, scale_down_delay: 10 };

    fn at(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn up_at_once_and_down_after_the_delay() {
        let (mut scaler, start, model) = (Autoscaler::default(), Instant::now(), "m".parse().unwrap());
        let mut asked = |requests, seconds| scaler.replicas(&model, &BOUNDS, requests, 0, at(start, seconds));
        assert_eq!(asked(0, 0), 0);
        assert_eq!(asked(1, 1), 1, "from zero with the first request");
        assert_eq!(asked(100, 2), 5, "no more than the most");
        assert_eq!(asked(0, 3), 5);
        assert_eq!(asked(5, 5), 5, "fewer, and a wave within the delay");
        assert_eq!(asked(0, 12), 5);
        assert_eq!(asked(0, 13), 3, "what the wave needed");
        assert_eq!(asked(0, 22), 3);
        assert_eq!(asked(0, 23), 0);
    }

    #[test]
    fn a_demand_that_comes_back_ends_the_delay() {
        let (mut scaler, start, model) = (Autoscaler::default(), Instant::now(), "m".parse().unwrap());
        let mut asked = |requests, seconds| scaler.replicas(&model, &BOUNDS, requests, 0, at(start, seconds));
        assert_eq!((asked(4, 0), asked(0, 1), asked(4, 9), asked(0, 11), asked(0, 20)), (2, 2, 2, 2, 2));
        assert_eq!(asked(0, 21), 0);
    }

    #[test]
    fn what_runs_is_kept_by_one_who_knows_nothing_yet() {
        let (mut scaler, start, model) = (Autoscaler::default(), Instant::now(), "m".parse().unwrap());
        assert_eq!(scaler.replicas(&model, &BOUNDS, 0, 3, start), 3);
        let end = scaler.next(|_| Some(BOUNDS));
        assert_eq!(end, Some(at(start, 10)));
        assert_eq!(scaler.replicas(&model, &BOUNDS, 0, 3, at(start, 10)), 0);
        assert_eq!(scaler.next(|_| Some(BOUNDS)), None);
    }

    #[test]
    fn senseless_bounds_are_refused() {
        assert_eq!(BOUNDS.check(), Ok(()));
        let check = |change: fn(&mut Autoscaling)| {
            let mut bounds = BOUNDS;
            change(&mut bounds);
            bounds.check()
        };
        assert_eq!(check(|bounds| bounds.max = 0), Err(InvalidAutoscaling::NoReplicas));
        assert_eq!(check(|bounds| bounds.min = 6), Err(InvalidAutoscaling::Bounds { min: 6, max: 5 }));
        assert_eq!(check(|bounds| bounds.target = 0), Err(InvalidAutoscaling::NoTarget));
    }

    proptest! {
        #[test]
        fn never_out_of_bounds_and_never_too_few(
            steps in prop::collection::vec((0_u32..30, 0_u64..8), 1..60),
            (min, more) in (0_u32..3, 1_u32..6),
        ) {
            let bounds = Autoscaling { min, max: min + more, ..BOUNDS };
            let (mut scaler, mut now, model) = (Autoscaler::default(), Instant::now(), "m".parse().unwrap());
            for (requests, wait) in steps {
                now += Duration::from_secs(wait);
                let replicas = scaler.replicas(&model, &bounds, requests, 0, now);
                prop_assert!((bounds.min..=bounds.max).contains(&replicas));
                prop_assert!(replicas >= bounds.replicas(requests), "what is needed now is there now");
            }
        }
    }
}
