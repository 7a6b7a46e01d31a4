//! What a watch says, kept as a map.

use futures::{Stream, StreamExt};
use kube::Api;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;

/// Events that are taken in together before anybody is told.
const TOGETHER: usize = 512;
/// Seconds after which a watch is begun anew from where it was: how long a connection that died without a word may go
/// unnoticed.
const RENEWAL: u32 = 60;

/// Events of a watch, those together that are there together.
pub(crate) type Events<R> = Pin<Box<dyn Stream<Item = Vec<watcher::Result<Event<R>>>> + Send>>;

/// All that a watch says from now on. It begins anew after every failure, with growing waits.
pub(crate) fn events<R>(api: Api<R>, config: watcher::Config) -> Events<R>
where
    R: kube::Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    watcher(api, config.timeout(RENEWAL)).default_backoff().ready_chunks(TOGETHER).boxed()
}

/// How resources of a kind become entries of a map.
pub(crate) struct Reading<R, K, V> {
    /// The key of a resource; one that has none is passed over.
    pub(crate) key: fn(&R) -> Option<K>,
    /// The entry of a resource; one that has none is not in the map.
    pub(crate) value: fn(&R) -> Option<V>,
}

/// The resources of a kind as last heard of. What the API server has said stands until it says otherwise: while it is
/// away, nothing changes.
pub(crate) struct Mirror<R, K, V> {
    reading: Reading<R, K, V>,
    entries: BTreeMap<K, Arc<V>>,
    /// A whole listing that is under way, of which nothing counts before its end.
    listing: Option<BTreeMap<K, Arc<V>>>,
    complete: bool,
}

impl<R, K: Ord, V: PartialEq> Mirror<R, K, V> {
    pub(crate) fn new(reading: Reading<R, K, V>) -> Self {
        Self { reading, entries: BTreeMap::new(), listing: None, complete: false }
    }

    /// Whether all resources have been heard of once.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }

    /// The entries.
    pub(crate) fn entries(&self) -> &BTreeMap<K, Arc<V>> {
        &self.entries
    }

    /// Takes an event in; says whether there is anything new.
    pub(crate) fn take(&mut self, event: Event<R>) -> bool {
        match event {
            Event::Init => {
                self.listing = Some(BTreeMap::new());
                false
            }
            Event::InitApply(resource) => {
                if let (Some(key), Some(value)) = ((self.reading.key)(&resource), (self.reading.value)(&resource)) {
                    let known = self.entries.get(&key).filter(|known| ***known == value).map(Arc::clone);
                    let value = known.unwrap_or_else(|| Arc::new(value));
                    self.listing.get_or_insert_default().insert(key, value);
                }
                false
            }
            Event::InitDone => {
                let listed = self.listing.take().unwrap_or_default();
                let news = !self.complete || listed != self.entries;
                (self.entries, self.complete) = (listed, true);
                news
            }
            Event::Apply(resource) => {
                let Some(key) = (self.reading.key)(&resource) else { return false };
                match (self.reading.value)(&resource) {
                    Some(value) if self.entries.get(&key).is_some_and(|known| **known == value) => false,
                    Some(value) => {
                        self.entries.insert(key, Arc::new(value));
                        true
                    }
                    None => self.entries.remove(&key).is_some(),
                }
            }
            Event::Delete(resource) => {
                (self.reading.key)(&resource).is_some_and(|key| self.entries.remove(&key).is_some())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Pair = (&'static str, i32);

    fn mirror() -> Mirror<Pair, &'static str, i32> {
        let reading: Reading<Pair, &'static str, i32> =
            Reading { key: |pair| Some(pair.0), value: |pair| (pair.1 >= 0).then_some(pair.1) };
        let mut mirror = Mirror::new(reading);
        assert!(!mirror.take(Event::Init));
        assert!(!mirror.take(Event::InitApply(("a", 1))));
        assert!(!mirror.take(Event::InitApply(("bad", -1))));
        assert!(!mirror.is_complete() && mirror.entries().is_empty(), "half a listing is none");
        assert!(mirror.take(Event::InitDone));
        assert!(mirror.is_complete());
        mirror
    }

    fn entries(mirror: &Mirror<Pair, &'static str, i32>) -> Vec<Pair> {
        mirror.entries().iter().map(|(key, value)| (*key, **value)).collect()
    }

    #[test]
    fn what_changes_nothing_is_no_news() {
        let mut mirror = mirror();
        assert!(!mirror.take(Event::Apply(("a", 1))));
        assert!(!mirror.take(Event::Apply(("bad", -1))));
        assert!(!mirror.take(Event::Delete(("b", 1))));
        assert!(mirror.take(Event::Apply(("a", 2))));
        assert!(mirror.take(Event::Apply(("b", 3))));
        assert_eq!(entries(&mirror), [("a", 2), ("b", 3)]);
        assert!(mirror.take(Event::Apply(("b", -1))), "what cannot be read any more is gone");
        assert!(mirror.take(Event::Delete(("a", 2))));
        assert_eq!(entries(&mirror), []);
    }

    #[test]
    fn a_listing_replaces_all_at_its_end_and_keeps_what_is_the_same() {
        let mut mirror = mirror();
        let before = Arc::clone(&mirror.entries()["a"]);
        mirror.take(Event::Apply(("b", 3)));
        for event in [Event::Init, Event::InitApply(("a", 1)), Event::InitApply(("c", 4))] {
            assert!(!mirror.take(event));
        }
        assert_eq!(entries(&mirror), [("a", 1), ("b", 3)], "the state before stands");
        assert!(mirror.take(Event::InitDone));
        assert_eq!(entries(&mirror), [("a", 1), ("c", 4)]);
        assert!(Arc::ptr_eq(&before, &mirror.entries()["a"]));
        for event in [Event::Init, Event::InitApply(("a", 1)), Event::InitApply(("c", 4)), Event::InitDone] {
            assert!(!mirror.take(event), "the same again");
        }
    }

    #[test]
    fn a_listing_that_breaks_off_counts_for_nothing() {
        let mut mirror = mirror();
        mirror.take(Event::Init);
        mirror.take(Event::InitApply(("z", 9)));
        mirror.take(Event::Init);
        mirror.take(Event::InitApply(("a", 1)));
        assert!(!mirror.take(Event::InitDone));
        assert_eq!(entries(&mirror), [("a", 1)]);
    }
}
