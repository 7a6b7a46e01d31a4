//! The way back to one client: bounded, never waited for by the engine's thread.

use super::inbox::Inbox;
use clowder_core::engine::{EngineError, FinishReason, GenerateEvent, TokenLogprob, Usage};
use futures::Stream;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use tokio::sync::mpsc;

/// Events kept for a client that does not read; then its sequence pauses.
const BUFFER: usize = 64;

/// Room that a step needs: text, the text left at the end, and the end itself.
const STEP: usize = 3;

/// The engine's end.
pub(crate) struct Reply {
    events: mpsc::Sender<GenerateEvent>,
    paused: Arc<AtomicBool>,
}

/// The client's end: a stream with exactly one terminal event. Dropping it gives the generation up.
pub(crate) struct Replies {
    events: mpsc::Receiver<GenerateEvent>,
    paused: Arc<AtomicBool>,
    inbox: Arc<Inbox>,
    ended: bool,
}

/// Both ends.
pub(crate) fn channel(inbox: Arc<Inbox>) -> (Reply, Replies) {
    let (sender, receiver) = mpsc::channel(BUFFER);
    let paused = Arc::new(AtomicBool::new(false));
    let reply = Reply { events: sender, paused: Arc::clone(&paused) };
    (reply, Replies { events: receiver, paused, inbox, ended: false })
}

impl Reply {
    /// Whether the client is gone.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.events.is_closed()
    }

    /// Whether the client reads: there is room for a step. Where there is not, reading wakes the engine.
    pub(crate) fn has_room(&self) -> bool {
        if self.events.capacity() >= STEP {
            return true;
        }
        self.paused.store(true, Ordering::SeqCst);
        // The client may have read between the two lines above, and would then wake nobody.
        self.events.capacity() >= STEP
    }

    /// Tokens beyond the first that a step may yield: each may be an event.
    pub(crate) fn room(&self) -> usize {
        self.events.capacity().saturating_sub(STEP)
    }

    /// Sends text.
    pub(crate) fn output(&self, text: String, logprobs: Vec<TokenLogprob>) {
        self.send(GenerateEvent::Output { text, logprobs });
    }

    /// Ends the stream well.
    pub(crate) fn finish(self, reason: FinishReason, usage: Usage) {
        self.send(GenerateEvent::Finished { reason, usage });
    }

    /// Ends the stream with an error.
    pub(crate) fn fail(self, error: EngineError) {
        self.send(GenerateEvent::Failed(error));
    }

    fn send(&self, event: GenerateEvent) {
        // There is room, by `has_room` before the step; a client that is gone needs no answer.
        let _ = self.events.try_send(event);
    }
}

impl Stream for Replies {
    type Item = GenerateEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<GenerateEvent>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let event = ready!(self.events.poll_recv(cx));
        if self.paused.swap(false, Ordering::SeqCst) {
            self.inbox.wake();
        }
        // The engine's thread drops its end without a word only when it panics.
        let event = event.unwrap_or_else(|| {
            GenerateEvent::Failed(EngineError::Failed { source: "the engine's thread has ended".into() })
        });
        self.ended = !matches!(event, GenerateEvent::Output { .. });
        Poll::Ready(Some(event))
    }
}

impl Drop for Replies {
    fn drop(&mut self) {
        if !self.ended {
            self.events.close();
            self.inbox.wake();
        }
    }
}
