//! Values of Secrets that resources refer to.
//!
//! Secrets are read one by one and not watched: a watch needs the right to list, and with it every Secret of the namespace.
//! So a value is read when a resource first refers to it, and now and then again.

use crate::call::{CallError, call};
use crate::model::SecretKeyReference;
use clowder_core::reconcile::Backoff;
use clowder_core::{Secret, chain};
use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1;
use kube::Api;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

/// After so long a value is looked at again: somebody may have put another in its place.
const KEPT: Duration = Duration::from_secs(300);
/// After so long a value that was not there is looked for again.
const MISSED: Backoff = Backoff { first: Duration::from_secs(1), most: KEPT };
/// Secrets that are read at the same time.
const AT_ONCE: usize = 8;

type Key = (String, String);

/// What is known of a value.
struct Known {
    value: Option<Secret>,
    /// How often in a row it was not to be had.
    missed: u32,
    again_at: Instant,
}

/// The values last read.
#[derive(Default)]
pub(super) struct Secrets {
    known: BTreeMap<Key, Known>,
}

fn key(reference: &SecretKeyReference) -> Key {
    (reference.name.clone(), reference.key.clone())
}

impl Secrets {
    /// The value last read.
    pub(super) fn get(&self, reference: &SecretKeyReference) -> Option<Secret> {
        self.known.get(&key(reference))?.value.clone()
    }

    /// When the first of them is to be read again.
    pub(super) fn due(&self) -> Option<Instant> {
        self.known.values().map(|known| known.again_at).min()
    }

    /// Reads those of the values that are new or due, and forgets those that nobody refers to any more.
    pub(super) async fn refresh<'a>(
        &mut self,
        api: &Api<v1::Secret>,
        references: impl IntoIterator<Item = &'a SecretKeyReference>,
    ) {
        let reads = self.due_of(references).into_iter().map(|key| async move {
            let outcome = read(api, &key).await;
            (key, outcome)
        });
        let outcomes: Vec<_> = stream::iter(reads).buffer_unordered(AT_ONCE).collect().await;
        for (key, outcome) in outcomes {
            self.learn(key, outcome);
        }
    }

    fn due_of<'a>(&mut self, references: impl IntoIterator<Item = &'a SecretKeyReference>) -> Vec<Key> {
        let wanted: BTreeSet<Key> = references.into_iter().map(key).collect();
        self.known.retain(|key, _| wanted.contains(key));
        let now = Instant::now();
        let is_due = |key: &Key| self.known.get(key).is_none_or(|known| known.again_at <= now);
        wanted.into_iter().filter(is_due).collect()
    }

    fn learn(&mut self, key: Key, outcome: Result<Option<Secret>, CallError>) {
        let now = Instant::now();
        let known = self.known.entry(key).or_insert(Known { value: None, missed: 0, again_at: now });
        match outcome {
            Ok(Some(value)) => *known = Known { value: Some(value), missed: 0, again_at: now + KEPT },
            other => {
                match other {
                    Ok(_) => known.value = None,
                    // What was read last stands until it is known to be otherwise.
                    Err(error) => tracing::warn!(error = chain(&error), "a Secret that a Model refers to is not read"),
                }
                known.missed = known.missed.saturating_add(1);
                known.again_at = now + MISSED.wait(known.missed);
            }
        }
    }
}

/// The value of a key; `None` where there is none, or none that a header could carry.
async fn read(api: &Api<v1::Secret>, (name, key): &Key) -> Result<Option<Secret>, CallError> {
    let secret = call(api.get_opt(name)).await?;
    let value = secret.and_then(|secret| secret.data?.remove(key));
    Ok(value
        .and_then(|value| String::from_utf8(value.0).ok())
        .map(|value| Secret::new(value.trim_end_matches(['\r', '\n']))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference() -> SecretKeyReference {
        SecretKeyReference { name: "hub".into(), key: "token".into() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_value_is_kept_for_a_while_and_one_that_is_missing_is_looked_for_soon() {
        let mut secrets = Secrets::default();
        let waits = |secrets: &Secrets| secrets.due().unwrap() - Instant::now();
        secrets.learn(key(&reference()), Ok(None));
        assert_eq!(waits(&secrets), MISSED.first);
        secrets.learn(key(&reference()), Ok(None));
        assert_eq!(waits(&secrets), MISSED.first * 2);
        secrets.learn(key(&reference()), Ok(Some(Secret::new("t"))));
        assert_eq!(waits(&secrets), KEPT);
        assert_eq!(secrets.get(&reference()), Some(Secret::new("t")));
        secrets.learn(key(&reference()), Err(CallError::TimedOut));
        assert_eq!(secrets.get(&reference()), Some(Secret::new("t")), "an API server that is away takes nothing");
        for _ in 0..100 {
            secrets.learn(key(&reference()), Ok(None));
        }
        assert_eq!((waits(&secrets), secrets.get(&reference())), (KEPT, None));
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_refers_to_is_forgotten_and_what_is_known_not_read_again() {
        let mut secrets = Secrets::default();
        assert_eq!(secrets.due_of([&reference()]), [key(&reference())]);
        secrets.learn(key(&reference()), Ok(Some(Secret::new("t"))));
        assert!(secrets.due_of([&reference()]).is_empty());
        tokio::time::advance(KEPT).await;
        assert_eq!(secrets.due_of([&reference()]), [key(&reference())]);
        assert!(secrets.due_of([]).is_empty());
        assert_eq!(secrets.due(), None);
    }
}
