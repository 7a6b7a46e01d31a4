//! Routing policies: which worker gets a request, and why.

mod fingerprint;
mod least_load;
mod power_of_two;
mod prefix;
mod recent;
mod round_robin;

pub use fingerprint::{Block, Fingerprint, FingerprintBuilder};
pub use least_load::LeastLoad;
pub use power_of_two::PowerOfTwo;
pub use prefix::Prefix;
pub(crate) use recent::Recent;
pub use round_robin::RoundRobin;

pub use crate::endpoint::WorkerKey;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A worker that could take the request now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Which.
    pub key: WorkerKey,
    /// Requests it has.
    pub in_flight: u32,
    /// Requests it generates at the same time, at least 1.
    pub slots: u32,
}

impl Candidate {
    /// Requests per slot.
    pub fn load(&self) -> f64 {
        f64::from(self.in_flight) / f64::from(self.slots.max(1))
    }
}

/// What a policy chose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The candidate's index.
    pub index: usize,
    /// Why, in a few words of ASCII for `x-clowder-policy`: `prefix 3/4 KiB`.
    pub why: String,
}

/// Chooses workers.
///
/// Policies are asked one request of a model at a time, with the workers that have room; how long a request may wait for
/// one, and what happens when a worker fails, is not their affair.
pub trait RoutingPolicy: Send + Sync {
    /// Its name in the configuration and in `x-clowder-policy`.
    fn name(&self) -> &'static str;

    /// Chooses one of `candidates`, of which there is at least one, and may remember it: the request goes there.
    fn choose(&self, prompt: &Fingerprint, candidates: &[Candidate]) -> Choice;

    /// This process is gone and never comes back.
    fn forget(&self, _worker: WorkerKey) {}
}

/// The policies of this crate, by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PolicyKind {
    /// [`Prefix`].
    #[default]
    Prefix,
    /// [`LeastLoad`].
    LeastLoad,
    /// [`RoundRobin`].
    RoundRobin,
    /// [`PowerOfTwo`].
    PowerOfTwo,
}

/// A string that names no policy.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("there is no routing policy {0:?}: take prefix, least-load, round-robin or power-of-two")]
pub struct UnknownPolicy(pub String);

impl PolicyKind {
    const ALL: [Self; 4] = [Self::Prefix, Self::LeastLoad, Self::RoundRobin, Self::PowerOfTwo];

    /// The name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Prefix => "prefix",
            Self::LeastLoad => "least-load",
            Self::RoundRobin => "round-robin",
            Self::PowerOfTwo => "power-of-two",
        }
    }

    /// A fresh policy of this kind.
    pub fn build(self) -> Arc<dyn RoutingPolicy> {
        match self {
            Self::Prefix => Arc::new(Prefix::default()),
            Self::LeastLoad => Arc::new(LeastLoad),
            Self::RoundRobin => Arc::new(RoundRobin::default()),
            Self::PowerOfTwo => Arc::new(PowerOfTwo),
        }
    }
}

impl FromStr for PolicyKind {
    type Err = UnknownPolicy;

    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        let named = Self::ALL.into_iter().find(|kind| kind.name() == text);
        named.ok_or_else(|| UnknownPolicy(text.chars().take(80).collect()))
    }
}

impl fmt::Display for PolicyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn prompts() -> impl Strategy<Value = Fingerprint> {
        proptest::collection::vec(0_u8..4, 0..8).prop_map(|parts| {
            let mut builder = FingerprintBuilder::new("m");
            for part in parts {
                builder.part(&[part; 300]);
            }
            builder.finish()
        })
    }

    fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
        let candidate = (0_u64..20, 0_u32..9, 1_u32..5).prop_map(|(key, in_flight, slots)| Candidate {
            key: WorkerKey(key),
            in_flight,
            slots,
        });
        proptest::collection::vec(candidate, 1..12)
    }

    proptest! {
        #[test]
        fn the_choice_is_always_a_candidate(
            requests in proptest::collection::vec((prompts(), candidates(), proptest::option::of(0_u64..20)), 1..40)
        ) {
            for kind in PolicyKind::ALL {
                let policy = kind.build();
                for (prompt, candidates, gone) in &requests {
                    let choice = policy.choose(prompt, candidates);
                    prop_assert!(choice.index < candidates.len());
                    prop_assert!(choice.why.is_ascii() && choice.why.starts_with(kind.name()));
                    if let Some(gone) = gone {
                        policy.forget(WorkerKey(*gone));
                    }
                }
            }
        }
    }

    #[test]
    fn names_round_trip() {
        for kind in PolicyKind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
            assert_eq!(kind.build().name(), kind.name());
        }
        assert_eq!("fastest".parse::<PolicyKind>(), Err(UnknownPolicy("fastest".into())));
    }
}
