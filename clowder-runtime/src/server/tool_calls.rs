//! Tool calls in a model's output: `<tool_call>{"name": …, "arguments": {…}}</tool_call>`, as Hermes and Qwen write them.

use crate::engine::stop::overlap;
use serde_json::Value;

const OPEN: &str = "<tool_call>";
const CLOSE: &str = "</tool_call>";

/// A call as OpenAI has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ToolCall {
    pub(crate) name: String,
    /// A JSON object, as text.
    pub(crate) arguments: String,
}

/// What a piece of output turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Text(String),
    Call(ToolCall),
}

/// Tells calls from text in output that arrives in pieces. What looks like a call and is none stays text.
#[derive(Debug, Default)]
pub(crate) struct ToolCallParser {
    held: String,
    /// Whether `held` is inside a call.
    inside: bool,
    /// Whether the last thing was a call: white space after it is no text.
    after_call: bool,
}

impl ToolCallParser {
    /// Takes output and gives what it is known to be.
    pub(crate) fn push(&mut self, text: &str) -> Vec<Piece> {
        self.held.push_str(text);
        let mut pieces = Vec::new();
        loop {
            let tag = if self.inside { CLOSE } else { OPEN };
            let Some(at) = self.held.find(tag) else { break };
            let rest = self.held.split_off(at + tag.len());
            let mut before = std::mem::replace(&mut self.held, rest);
            before.truncate(at);
            if self.inside {
                self.conclude(&before, &mut pieces);
            } else {
                self.text(before, &mut pieces);
            }
            self.inside = !self.inside;
        }
        if !self.inside {
            let keep = overlap(&self.held, OPEN);
            let sure: String = self.held.drain(..self.held.len() - keep).collect();
            self.text(sure, &mut pieces);
        }
        pieces
    }

    /// Ends the output. Models that stop at the closing tag leave a call open.
    pub(crate) fn finish(&mut self) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let rest = std::mem::take(&mut self.held);
        match std::mem::take(&mut self.inside) {
            false => self.text(rest, &mut pieces),
            true => match parse(&rest) {
                Some(call) => self.call(call, &mut pieces),
                None => pieces.push(Piece::Text(format!("{OPEN}{rest}"))),
            },
        }
        pieces
    }

    fn conclude(&mut self, body: &str, pieces: &mut Vec<Piece>) {
        match parse(body) {
            Some(call) => self.call(call, pieces),
            None => pieces.push(Piece::Text(format!("{OPEN}{body}{CLOSE}"))),
        }
    }

    fn call(&mut self, call: ToolCall, pieces: &mut Vec<Piece>) {
        self.after_call = true;
        pieces.push(Piece::Call(call));
    }

    fn text(&mut self, text: String, pieces: &mut Vec<Piece>) {
        let text = if self.after_call { text.trim_start().to_owned() } else { text };
        if !text.is_empty() {
            self.after_call = false;
            pieces.push(Piece::Text(text));
        }
    }
}

fn parse(body: &str) -> Option<ToolCall> {
    let call: Value = serde_json::from_str(body.trim()).ok()?;
    let name = call.get("name")?.as_str().filter(|name| !name.is_empty())?.to_owned();
    let arguments = match call.get("arguments").or_else(|| call.get("parameters")) {
        None | Some(Value::Null) => "{}".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(arguments @ Value::Object(_)) => arguments.to_string(),
        Some(_) => return None,
    };
    Some(ToolCall { name, arguments })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(pieces: &[&str]) -> (String, Vec<(String, String)>) {
        let mut parser = ToolCallParser::default();
        let mut found: Vec<Piece> = pieces.iter().flat_map(|piece| parser.push(piece)).collect();
        found.extend(parser.finish());
        let mut text = String::new();
        let mut calls = Vec::new();
        for piece in found {
            match piece {
                Piece::Text(more) => text.push_str(&more),
                Piece::Call(call) => calls.push((call.name, call.arguments)),
            }
        }
        (text, calls)
    }

    fn call(name: &str, arguments: &str) -> (String, String) {
        (name.to_owned(), arguments.to_owned())
    }

    #[test]
    fn a_call_is_told_from_text() {
        let output = "Let me see.<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": 1}}\n</tool_call>\n";
        assert_eq!(run(&[output]), ("Let me see.".to_owned(), vec![call("add", r#"{"a":1}"#)]));
    }

    #[test]
    fn several_calls_and_an_open_one() {
        let output = "<tool_call>{\"name\":\"a\"}</tool_call>\n<tool_call>{\"name\":\"b\",\"arguments\":\"{}\"}";
        assert_eq!(run(&[output]), (String::new(), vec![call("a", "{}"), call("b", "{}")]));
    }

    #[test]
    fn what_is_no_call_stays_text() {
        for output in
            ["<tool_call>oops</tool_call>", "<tool_call>{\"name\": 3}</tool_call> x", "a <tool", "<tool_call>{"]
        {
            assert_eq!(run(&[output]), (output.to_owned(), Vec::new()));
        }
    }

    proptest! {
        #[test]
        fn cuts_do_not_matter(cuts in prop::collection::vec(0_usize..90, 0..6)) {
            let output = "Now: <tool_call>{\"name\": \"f\", \"arguments\": {\"x\": \"<b>\"}}</tool_call> done <tool";
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|&cut| cut <= output.len()).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut start = 0;
            for cut in cuts {
                pieces.push(&output[start..cut]);
                start = cut;
            }
            pieces.push(&output[start..]);
            let (text, calls) = run(&pieces);
            prop_assert_eq!(text, "Now: done <tool");
            prop_assert_eq!(calls, vec![call("f", r#"{"x":"<b>"}"#)]);
        }
    }
}
