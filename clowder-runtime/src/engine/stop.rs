//! Texts that end the output, also where a token's border cuts them.

/// Looks for stop texts in output that arrives in pieces, and holds back what may be the beginning of one.
#[derive(Debug)]
pub(crate) struct StopMatcher {
    stops: Vec<String>,
    held: String,
}

impl StopMatcher {
    /// A matcher; empty stop texts mean nothing.
    pub(crate) fn new(stops: Vec<String>) -> Self {
        let stops = stops.into_iter().filter(|stop| !stop.is_empty()).collect();
        Self { stops, held: String::new() }
    }

    /// Takes text and appends what can be let go to `out`; `true` where a stop text has come: then `out` ends before it
    /// and nothing is held.
    pub(crate) fn push(&mut self, text: &str, out: &mut String) -> bool {
        if self.stops.is_empty() {
            out.push_str(text);
            return false;
        }
        self.held.push_str(text);
        if let Some(at) = self.stops.iter().filter_map(|stop| self.held.find(stop.as_str())).min() {
            out.push_str(&self.held[..at]);
            self.held.clear();
            return true;
        }
        let keep = self.stops.iter().map(|stop| overlap(&self.held, stop)).max().unwrap_or(0);
        out.extend(self.held.drain(..self.held.len() - keep));
        false
    }

    /// Ends the input: what is held back is no stop text.
    pub(crate) fn finish(&mut self, out: &mut String) {
        out.push_str(&self.held);
        self.held.clear();
    }
}

/// Bytes at the end of `text` that begin `stop` without being all of it.
pub(crate) fn overlap(text: &str, stop: &str) -> usize {
    let most = text.len().min(stop.len() - 1);
    (1..=most)
        .rev()
        .find(|&length| {
            let start = text.len() - length;
            text.is_char_boundary(start) && text.as_bytes()[start..] == stop.as_bytes()[..length]
        })
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(stops: &[&str], pieces: &[&str]) -> (String, bool) {
        let mut matcher = StopMatcher::new(stops.iter().map(|&stop| stop.to_owned()).collect());
        let mut out = String::new();
        for piece in pieces {
            if matcher.push(piece, &mut out) {
                return (out, true);
            }
        }
        matcher.finish(&mut out);
        (out, false)
    }

    #[test]
    fn a_stop_text_may_be_cut_anywhere() {
        assert_eq!(run(&["STOP"], &["go on ST", "O", "P now"]), ("go on ".to_owned(), true));
        assert_eq!(run(&["\n\n"], &["a\n", "b\n", "\nc"]), ("a\nb".to_owned(), true));
    }

    #[test]
    fn what_only_looked_like_one_is_let_go() {
        assert_eq!(run(&["STOP"], &["a ST", "ART"]), ("a START".to_owned(), false));
        let mut matcher = StopMatcher::new(vec!["abc".to_owned()]);
        let mut out = String::new();
        matcher.push("xxab", &mut out);
        assert_eq!(out, "xx");
        matcher.push("ab", &mut out);
        assert_eq!(out, "xxab");
    }

    #[test]
    fn the_first_of_several_wins() {
        assert_eq!(run(&["bb", "a"], &["xxabb"]), ("xx".to_owned(), true));
        assert_eq!(run(&[""], &["x"]), ("x".to_owned(), false));
    }

    proptest! {
        #[test]
        fn cuts_do_not_matter(text in "[abé]{0,24}", stop in "[abé]{1,4}", cuts in prop::collection::vec(0_usize..24, 0..4)) {
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|&c| text.is_char_boundary(c)).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut start = 0;
            for cut in cuts {
                pieces.push(&text[start..cut]);
                start = cut;
            }
            pieces.push(&text[start..]);
            let expected = match text.find(&stop) {
                Some(at) => (text[..at].to_owned(), true),
                None => (text.clone(), false),
            };
            prop_assert_eq!(run(&[&stop], &pieces), expected);
        }

        #[test]
        fn no_more_is_held_than_may_matter(text in "[ab]{0,24}", stop in "[ab]{2,4}") {
            let mut matcher = StopMatcher::new(vec![stop.clone()]);
            let mut out = String::new();
            if !matcher.push(&text, &mut out) {
                let held = &text[out.len()..];
                prop_assert!(held.len() < stop.len() && stop.starts_with(held));
            }
        }
    }
}
