//! How requests reach the engine's thread, and how it is woken.

use super::reply::Reply;
use clowder_core::engine::{EngineError, GenerateRequest};
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// A request on its way to a slot.
pub(crate) struct Job {
    pub(crate) request: GenerateRequest,
    /// The number of the adapter it asks for.
    pub(crate) adapter: Option<usize>,
    pub(crate) reply: Reply,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    woken: bool,
    draining: bool,
    closed: bool,
}

/// The bounded queue before the slots. All that is admitted and not yet ended counts as outstanding.
pub(crate) struct Inbox {
    state: Mutex<State>,
    changed: Condvar,
    outstanding: watch::Sender<u32>,
    slots: u32,
    queue: u32,
}

impl Inbox {
    /// For so many slots and so many requests waiting behind them.
    pub(crate) fn new(slots: u32, queue: u32) -> Self {
        let (outstanding, _) = watch::channel(0);
        Self { state: Mutex::default(), changed: Condvar::new(), outstanding, slots, queue }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Admits a request.
    pub(crate) fn push(&self, job: Job) -> Result<(), EngineError> {
        let mut state = self.lock();
        if state.draining || state.closed {
            return Err(EngineError::Draining);
        }
        if *self.outstanding.borrow() >= self.slots.saturating_add(self.queue) {
            return Err(EngineError::Overloaded { queue: self.queue });
        }
        self.outstanding.send_modify(|count| *count += 1);
        state.queue.push_back(job);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// The next request that somebody still waits for. Those nobody waits for leave the queue, and are counted in
    /// `cancelled`.
    pub(crate) fn pop(&self, cancelled: &mut u64) -> Option<Job> {
        let mut state = self.lock();
        while let Some(job) = state.queue.pop_front() {
            if !job.reply.is_abandoned() {
                return Some(job);
            }
            *cancelled += 1;
            self.ended();
        }
        None
    }

    /// Removes requests that nobody waits for any more; says how many.
    pub(crate) fn sweep(&self) -> u64 {
        let mut state = self.lock();
        let before = state.queue.len();
        state.queue.retain(|job| !job.reply.is_abandoned());
        let gone = before - state.queue.len();
        drop(state);
        (0..gone).for_each(|_| self.ended());
        gone as u64
    }

    /// Requests in the queue.
    pub(crate) fn queued(&self) -> u32 {
        u32::try_from(self.lock().queue.len()).unwrap_or(u32::MAX)
    }

    /// An admitted request has ended.
    pub(crate) fn ended(&self) {
        self.outstanding.send_modify(|count| *count = count.saturating_sub(1));
    }

    /// Wakes the thread: a client reads again, or has left.
    pub(crate) fn wake(&self) {
        self.lock().woken = true;
        self.changed.notify_one();
    }

    /// Blocks until there is a request, a wake-up or the end.
    pub(crate) fn wait(&self) {
        let state = self.lock();
        let mut state = self
            .changed
            .wait_while(state, |state| state.queue.is_empty() && !state.woken && !state.closed)
            .unwrap_or_else(PoisonError::into_inner);
        state.woken = false;
    }

    /// Whether the thread shall end.
    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Ends the thread after the batch it evaluates, and refuses all that waits.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let waiting = std::mem::take(&mut state.queue);
        drop(state);
        self.changed.notify_one();
        for job in waiting {
            job.reply.fail(EngineError::Draining);
            self.ended();
        }
    }

    /// After the thread broke down: nothing is admitted, nothing waited for. Whoever waits sees its stream end.
    pub(crate) fn abandon(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.queue.clear();
        drop(state);
        self.outstanding.send_modify(|count| *count = 0);
    }

    /// Admits nothing more, and returns when all that was admitted has ended.
    pub(crate) async fn drain(&self) {
        self.lock().draining = true;
        // The sender lives in `self`, so waiting cannot fail.
        let _ = self.outstanding.subscribe().wait_for(|count| *count == 0).await;
    }
}
