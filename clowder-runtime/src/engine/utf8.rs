//! Whole characters out of bytes that arrive in pieces.

/// Holds the first bytes of a character back until the rest of it is there. Bytes that are no UTF-8 become U+FFFD.
#[derive(Debug, Default)]
pub(crate) struct Utf8Assembler {
    pending: Vec<u8>,
}

impl Utf8Assembler {
    /// Takes bytes and appends the characters that are whole with them.
    pub(crate) fn push(&mut self, bytes: &[u8], text: &mut String) {
        if self.pending.is_empty() {
            let held = decode(bytes, text);
            self.pending.extend_from_slice(held);
            return;
        }
        self.pending.extend_from_slice(bytes);
        let held = decode(&self.pending, text).len();
        self.pending.drain(..self.pending.len() - held);
    }

    /// Whether part of a character is held back.
    pub(crate) fn holds(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Ends the input: what is held back will never be whole.
    pub(crate) fn finish(&mut self, text: &mut String) {
        if !self.pending.is_empty() {
            self.pending.clear();
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
}

/// Appends all that is whole and returns the beginning of a character at the end of the bytes.
fn decode<'a>(bytes: &'a [u8], text: &mut String) -> &'a [u8] {
    let mut chunks = bytes.utf8_chunks().peekable();
    while let Some(chunk) = chunks.next() {
        text.push_str(chunk.valid());
        let invalid = chunk.invalid();
        if chunks.peek().is_none() && may_continue(invalid) {
            return invalid;
        }
        if !invalid.is_empty() {
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
    &[]
}

/// Whether more bytes could make a character of these.
fn may_continue(bytes: &[u8]) -> bool {
    matches!(std::str::from_utf8(bytes), Err(error) if error.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn assemble(pieces: &[&[u8]]) -> String {
        let mut assembler = Utf8Assembler::default();
        let mut text = String::new();
        for piece in pieces {
            assembler.push(piece, &mut text);
        }
        assembler.finish(&mut text);
        text
    }

    #[test]
    fn a_character_waits_for_its_last_byte() {
        let mut assembler = Utf8Assembler::default();
        let mut text = String::new();
        assembler.push(&[b'a', 0xF0, 0x9F], &mut text);
        assert_eq!((text.as_str(), assembler.holds()), ("a", true));
        assembler.push(&[0x90, 0xB1], &mut text);
        assert_eq!((text.as_str(), assembler.holds()), ("a🐱", false));
    }

    #[test]
    fn what_is_no_character_is_replaced() {
        assert_eq!(assemble(&[&[0xFF], b"b"]), "\u{FFFD}b");
        assert_eq!(assemble(&[&[0xE2, 0x82]]), "\u{FFFD}");
        assert_eq!(assemble(&[&[0xE2], b"x"]), "\u{FFFD}x");
    }

    proptest! {
        #[test]
        fn cuts_do_not_matter(bytes in prop::collection::vec(any::<u8>(), 0..40), cut in 0_usize..40) {
            let cut = cut.min(bytes.len());
            let (head, tail) = bytes.split_at(cut);
            prop_assert_eq!(assemble(&[head, tail]), String::from_utf8_lossy(&bytes));
        }

        #[test]
        fn byte_by_byte_equals_the_whole(text in "\\PC{0,20}") {
            let pieces: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
            prop_assert_eq!(assemble(&pieces), text);
        }
    }
}
