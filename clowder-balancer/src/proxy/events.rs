//! Event streams pass in whole events, so that a stream which breaks can still end with one that says so.

use bytes::{Bytes, BytesMut};

/// The most of an unfinished event that is held back.
const MAX_HELD: usize = 256 << 10;

/// Holds back the unfinished event at the end of what came.
#[derive(Debug, Default)]
pub(super) struct WholeEvents {
    held: BytesMut,
}

impl WholeEvents {
    /// The events that this chunk completes; empty if it completes none.
    pub(super) fn push(&mut self, chunk: Bytes) -> Bytes {
        if self.held.is_empty() && ends_event(&chunk, chunk.len()) {
            return chunk;
        }
        // An event's end may lie across two chunks: at most 3 bytes back.
        let seen = self.held.len().saturating_sub(3);
        self.held.extend_from_slice(&chunk);
        let end = (seen + 1..=self.held.len()).rev().find(|end| ends_event(&self.held, *end));
        match end {
            Some(end) => self.held.split_to(end).freeze(),
            None if self.held.len() > MAX_HELD => self.held.split().freeze(),
            None => Bytes::new(),
        }
    }

    /// What the stream ended with.
    pub(super) fn rest(&mut self) -> Bytes {
        self.held.split().freeze()
    }
}

/// Whether an event's blank line ends right before `end`.
fn ends_event(bytes: &[u8], end: usize) -> bool {
    let before = &bytes[..end];
    before.ends_with(b"\n\n") || before.ends_with(b"\n\r\n") || before.ends_with(b"\r\r")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn half_an_event_is_held_back() {
        let mut events = WholeEvents::default();
        assert_eq!(events.push(Bytes::from_static(b"data: 1\n\ndata")), "data: 1\n\n");
        assert_eq!(events.push(Bytes::from_static(b": 2\r\n\r")), "");
        assert_eq!(events.push(Bytes::from_static(b"\n")), "data: 2\r\n\r\n");
        assert_eq!(events.rest(), "");
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_only_whole_events_pass(
            texts in proptest::collection::vec("[a-z]{0,8}", 1..20), cuts in proptest::collection::vec(1_usize..9, 1..80)
        ) {
            let stream: String = texts.iter().map(|text| format!("data: {text}\n\n")).collect();
            let mut events = WholeEvents::default();
            let mut passed = Vec::new();
            let mut left = stream.as_bytes();
            for cut in cuts.iter().cycle() {
                let (now, later) = left.split_at((*cut).min(left.len()));
                passed.extend_from_slice(&events.push(Bytes::copy_from_slice(now)));
                prop_assert!(passed.is_empty() || passed.ends_with(b"\n\n"));
                left = later;
                if left.is_empty() {
                    break;
                }
            }
            passed.extend_from_slice(&events.rest());
            prop_assert_eq!(passed, stream.as_bytes());
        }
    }
}
