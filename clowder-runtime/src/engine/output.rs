//! From tokens to the text a client gets.

use super::stop::StopMatcher;
use super::utf8::Utf8Assembler;
use clowder_core::engine::TokenLogprob;
use std::collections::VecDeque;

/// What a token lets go.
#[derive(Debug, Default)]
pub(crate) struct Released {
    /// Whole characters, stop texts held back.
    pub(crate) text: String,
    /// Probabilities of the tokens whose text is out.
    pub(crate) logprobs: Vec<TokenLogprob>,
    /// Whether a stop text has come.
    pub(crate) stopped: bool,
}

impl Released {
    /// Whether there is nothing to send.
    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty() && self.logprobs.is_empty()
    }
}

/// Turns one generation's bytes into text and keeps the tokens' probabilities in step with it.
#[derive(Debug)]
pub(crate) struct OutputText {
    utf8: Utf8Assembler,
    stop: StopMatcher,
    whole: String,
    /// Bytes of text assembled and let go so far.
    assembled: usize,
    released: usize,
    /// Where in the text each waiting token begins and ends.
    waiting: VecDeque<(usize, usize, TokenLogprob)>,
}

impl OutputText {
    /// Output that ends at any of the given texts.
    pub(crate) fn new(stops: Vec<String>) -> Self {
        Self {
            utf8: Utf8Assembler::default(),
            stop: StopMatcher::new(stops),
            whole: String::new(),
            assembled: 0,
            released: 0,
            waiting: VecDeque::new(),
        }
    }

    /// Takes a token's bytes and, where asked for, its probability.
    pub(crate) fn push(&mut self, bytes: &[u8], logprob: Option<TokenLogprob>) -> Released {
        let begin = self.assembled;
        self.whole.clear();
        self.utf8.push(bytes, &mut self.whole);
        self.assembled += self.whole.len();
        if let Some(logprob) = logprob {
            let end = self.assembled + usize::from(self.utf8.holds());
            self.waiting.push_back((begin, end, logprob));
        }
        let mut released = Released::default();
        released.stopped = self.stop.push(&self.whole, &mut released.text);
        self.released += released.text.len();
        self.release_logprobs(&mut released);
        released
    }

    /// Ends the output without a stop text.
    pub(crate) fn finish(&mut self) -> Released {
        let mut released = Released::default();
        self.whole.clear();
        self.utf8.finish(&mut self.whole);
        released.stopped = self.stop.push(&self.whole, &mut released.text);
        if !released.stopped {
            self.stop.finish(&mut released.text);
        }
        released.logprobs.extend(self.waiting.drain(..).map(|(_, _, logprob)| logprob));
        released
    }

    fn release_logprobs(&mut self, released: &mut Released) {
        while let Some(&(begin, end, _)) = self.waiting.front() {
            // A token that the stop text cuts still brought some of the text.
            let out = end <= self.released || (released.stopped && begin < self.released);
            match self.waiting.pop_front() {
                Some((_, _, logprob)) if out => released.logprobs.push(logprob),
                Some(token) => {
                    self.waiting.push_front(token);
                    break;
                }
                None => break,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logprob(bytes: &[u8]) -> Option<TokenLogprob> {
        Some(TokenLogprob { bytes: bytes.to_vec(), logprob: -1.0, top: Vec::new() })
    }

    fn push(output: &mut OutputText, text: &[u8]) -> (String, usize, bool) {
        let released = output.push(text, logprob(text));
        (released.text, released.logprobs.len(), released.stopped)
    }

    #[test]
    fn probabilities_come_with_their_text() {
        let mut output = OutputText::new(vec!["END".to_owned()]);
        assert_eq!(push(&mut output, b"a"), ("a".to_owned(), 1, false));
        assert_eq!(push(&mut output, b"E"), (String::new(), 0, false));
        assert_eq!(push(&mut output, b"x"), ("Ex".to_owned(), 2, false));
    }

    #[test]
    fn tokens_of_a_stop_text_are_not_reported() {
        let mut output = OutputText::new(vec!["END".to_owned()]);
        assert_eq!(push(&mut output, b"aE"), ("a".to_owned(), 0, false));
        assert_eq!(push(&mut output, b"ND"), (String::new(), 1, true));
    }

    #[test]
    fn a_character_of_several_tokens_reports_them_together() {
        let mut output = OutputText::new(Vec::new());
        assert_eq!(push(&mut output, &[0xC3]), (String::new(), 0, false));
        assert_eq!(push(&mut output, &[0xA9]), ("é".to_owned(), 2, false));
    }

    #[test]
    fn the_end_lets_all_go() {
        let mut output = OutputText::new(vec!["END".to_owned()]);
        push(&mut output, b"EN");
        let released = output.finish();
        assert_eq!((released.text.as_str(), released.logprobs.len()), ("EN", 1));
    }
}
