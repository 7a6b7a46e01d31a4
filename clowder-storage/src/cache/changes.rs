//! That something changed: told by whoever changes it, looked at by whoever wants to know what.

use tokio::sync::watch;

/// Tells those who watch the cache that there may be news. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct Changes(watch::Sender<()>);

/// Tells of a change when dropped, however the work ended.
pub(super) struct AtTheEnd(Changes);

impl Changes {
    pub(super) fn tell(&self) {
        self.0.send_replace(());
    }

    pub(super) fn at_the_end(&self) -> AtTheEnd {
        AtTheEnd(self.clone())
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<()> {
        self.0.subscribe()
    }
}

impl Drop for AtTheEnd {
    fn drop(&mut self) {
        self.0.tell();
    }
}
