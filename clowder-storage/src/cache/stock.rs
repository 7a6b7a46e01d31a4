//! Following what is here, and how far the rest is.

use super::{Cache, blocking, pins};
use clowder_core::stock::Stock;
use clowder_core::store::{FetchProgress, StoreError};
use clowder_core::{BoxStream, chain};
use futures::{StreamExt, stream};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch::Receiver;
use tokio::time::sleep;

/// How often the progress of fetches is told.
const PROGRESS: Duration = Duration::from_secs(1);
/// Until a folder that cannot be read is looked at again.
const AGAIN: Duration = Duration::from_secs(5);

/// One watcher's state.
struct Watching {
    cache: Cache,
    changes: Receiver<()>,
    /// What was in the folder when something last changed.
    listed: Stock,
    told: Option<Arc<Stock>>,
}

impl Cache {
    /// What is here, now and after every change that this process makes; how far fetches of this process are, every second
    /// while there are any. Changes close together may come as one.
    pub fn watch(&self) -> BoxStream<Arc<Stock>> {
        let mut changes = self.inner.changes.subscribe();
        changes.mark_changed();
        let watching = Watching { cache: self.clone(), changes, listed: Stock::default(), told: None };
        stream::unfold(watching, |mut watching| async move { Some((watching.next().await?, watching)) }).boxed()
    }

    /// The models of the folder, as of now.
    async fn stock(&self) -> Result<Stock, StoreError> {
        let inner = Arc::clone(&self.inner);
        let listed = move || Ok::<_, StoreError>((inner.list()?, pins::read(&inner.layout)?));
        let (entries, pinned) = blocking(listed).await?;
        let mut stock = Stock { pinned, ..Stock::default() };
        for entry in entries {
            if entry.complete {
                stock.complete.insert(entry.url);
            } else {
                let progress = FetchProgress { bytes: entry.bytes, total: entry.total, rate: entry.rate };
                stock.incomplete.insert(entry.url, progress);
            }
        }
        Ok(stock)
    }
}

impl Watching {
    async fn next(&mut self) -> Option<Arc<Stock>> {
        loop {
            let fetching = self.cache.inner.flights.count() > 0;
            tokio::select! {
                biased;
                changed = self.changes.changed() => {
                    changed.ok()?;
                    match self.cache.stock().await {
                        Ok(stock) => self.listed = stock,
                        Err(error) => {
                            tracing::warn!(error = chain(&error), "the cache cannot be looked at; what was seen last stands");
                            sleep(AGAIN).await;
                            self.changes.mark_changed();
                            continue;
                        }
                    }
                }
                // Only numbers in memory have changed: the disk is not asked.
                () = sleep(PROGRESS), if fetching => {}
            }
            let mut stock = self.listed.clone();
            for (url, progress) in self.cache.inner.flights.progresses() {
                // One that has not begun knows less than the folder does.
                let begun = progress != FetchProgress::default() || !stock.incomplete.contains_key(&url);
                if begun && !stock.complete.contains(&url) {
                    stock.incomplete.insert(url, progress);
                }
            }
            if self.told.as_deref() != Some(&stock) {
                let stock = Arc::new(stock);
                self.told = Some(Arc::clone(&stock));
                return Some(stock);
            }
        }
    }
}
