//! Bytes of a process into lines of text.

/// The longest line kept, in bytes; the rest of a longer one is dropped.
pub(super) const LONGEST_LINE: usize = 16 * 1024;

/// Splits bytes, as they come, into lines that are safe to show: valid UTF-8 without control characters.
#[derive(Default)]
pub(super) struct LineSplitter {
    pending: Vec<u8>,
    cut: bool,
}

impl LineSplitter {
    /// The lines that end within `bytes`.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ended) = part.strip_suffix(b"\n").map_or((part, false), |text| (text, true));
            let room = LONGEST_LINE - self.pending.len();
            self.cut |= text.len() > room;
            self.pending.extend_from_slice(&text[..text.len().min(room)]);
            if ended {
                lines.push(self.take());
            }
        }
        lines
    }

    /// The line that nothing ended.
    pub(super) fn finish(mut self) -> Option<String> {
        (!self.pending.is_empty()).then(|| self.take())
    }

    fn take(&mut self) -> String {
        let mut line = showable(&self.pending);
        if std::mem::take(&mut self.cut) {
            line.push('…');
        }
        self.pending.clear();
        line
    }
}

/// Text for a terminal: a log may repeat what a model's file says, and that may hold escape sequences.
fn showable(bytes: &[u8]) -> String {
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    String::from_utf8_lossy(bytes)
        .chars()
        .map(|c| if c.is_control() && c != '\t' { char::REPLACEMENT_CHARACTER } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(bytes: &[u8], chunk: usize) -> Vec<String> {
        let mut splitter = LineSplitter::default();
        let mut lines: Vec<String> = bytes.chunks(chunk).flat_map(|part| splitter.push(part)).collect();
        lines.extend(splitter.finish());
        lines
    }

    #[test]
    fn lines_are_whole_and_safe() {
        assert_eq!(split(b"a\r\n\nb\xff\x1b[31m\tc", 3), ["a", "", "b\u{fffd}\u{fffd}[31m\tc"]);
    }

    #[test]
    fn a_long_line_is_cut() {
        let mut bytes = vec![b'x'; LONGEST_LINE * 3];
        bytes.extend_from_slice(b"\nnext\n");
        let lines = split(&bytes, 1000);
        assert_eq!(lines[0].len(), LONGEST_LINE + '…'.len_utf8());
        assert_eq!(lines[1], "next");
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_how_the_bytes_come(bytes in proptest::collection::vec(any::<u8>(), 0..400), chunk in 1..40_usize) {
            let lines = split(&bytes, chunk);
            prop_assert_eq!(&lines, &split(&bytes, 400));
            prop_assert!(lines.iter().all(|line| !line.contains('\n')));
        }
    }
}
