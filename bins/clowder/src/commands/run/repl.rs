//! The chat: reads a line, answers, until the user leaves.

use super::answer::{Answer, Printing, answer};
use super::settings::Settings;
use super::target::Target;
use crate::client::Message;
use crate::exit::Error;
use crate::output::{Output, duration};
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

const HELP: &str = "Commands:
  /help                  this list
  /clear                 forget the conversation
  /system TEXT           what the model is told before the conversation; without TEXT, nothing
  /set                   the settings
  /set NAME VALUE        change one, for example /set temperature 0.2; VALUE `default` takes it back
  /stats                 tokens and times of the last answer
  /exit                  leave; so does Ctrl-D
  Ctrl-C                 ends an answer
  \"\"\"                    begins and ends a text of several lines";

/// What a line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Input<'a> {
    Nothing,
    Help,
    Clear,
    System(&'a str),
    ShowSettings,
    Set(&'a str, &'a str),
    Stats,
    Exit,
    Unknown(&'a str),
    Question(&'a str),
}

fn read(line: &str) -> Input<'_> {
    let line = line.trim();
    if line.is_empty() {
        return Input::Nothing;
    }
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim();
    match word {
        "/help" | "/?" => Input::Help,
        "/clear" => Input::Clear,
        "/system" => Input::System(rest),
        "/set" => match rest.split_once(char::is_whitespace) {
            Some((name, value)) => Input::Set(name, value.trim()),
            None if rest.is_empty() => Input::ShowSettings,
            None => Input::Set(rest, ""),
        },
        "/stats" => Input::Stats,
        "/exit" | "/bye" | "/quit" => Input::Exit,
        // A path or a date may begin with a slash; a command is one word of letters.
        word if word.len() > 1 && word.starts_with('/') && word[1..].chars().all(|c| c.is_ascii_alphabetic()) => {
            Input::Unknown(word)
        }
        _ => Input::Question(line),
    }
}

/// Chats until the user leaves.
pub(super) async fn chat(target: &Target, mut settings: Settings, output: Output) -> Result<(), Error> {
    let mut lines = Lines::open(output)?;
    let mut history: Vec<Message> = Vec::new();
    let mut last: Option<Answer> = None;
    output.line(&format!("{}: /help lists the commands, Ctrl-D leaves.", target.model))?;
    while let Some(line) = lines.next().await? {
        match read(&line) {
            Input::Nothing => {}
            Input::Exit => break,
            Input::Help => output.line(HELP)?,
            Input::Clear => {
                history.clear();
                output.line("The conversation is forgotten.")?;
            }
            Input::System(text) => settings.system = (!text.is_empty()).then(|| text.to_owned()),
            Input::ShowSettings => output.line(&settings.describe())?,
            Input::Set(name, value) => {
                if let Err(message) = settings.set(name, value) {
                    output.line(&message)?;
                }
            }
            Input::Stats => output.line(&stats(last.as_ref()))?,
            Input::Unknown(word) => output.line(&format!("There is no command {word}; /help lists them."))?,
            Input::Question(question) => {
                let messages = settings.conversation(&history, question);
                match answer(&target.client, &target.model, &messages, &settings, Printing::Terminal(output)).await {
                    Ok(answer) => {
                        history.push(Message { role: "user", content: question.to_owned() });
                        history.push(Message { role: "assistant", content: answer.text.clone() });
                        last = Some(answer);
                    }
                    // The conversation goes on: another question, or /clear, may do better.
                    Err(error @ (Error::Refused { .. } | Error::BrokenOff { .. } | Error::NotFound { .. })) => {
                        error.report();
                    }
                    Err(error) => return Err(error),
                }
            }
        }
    }
    Ok(())
}

fn stats(last: Option<&Answer>) -> String {
    let Some(answer) = last else { return "There is no answer yet.".to_owned() };
    let usage = &answer.usage;
    let rate = answer.rate().map(|rate| format!(", {rate:.1} tokens/s")).unwrap_or_default();
    let first = answer.first.map(|time| format!("first after {}, ", duration(time))).unwrap_or_default();
    let end = answer.finish.as_deref().unwrap_or("interrupted");
    format!(
        "{} prompt tokens, {} answer tokens; {first}all after {}{rate}; ended: {end}",
        usage.prompt_tokens,
        usage.completion_tokens,
        duration(answer.total)
    )
}

/// Lines that the user types, read on a thread of their own.
struct Lines {
    editor: Option<DefaultEditor>,
    output: Output,
}

impl Lines {
    fn open(output: Output) -> Result<Self, Error> {
        let editor = DefaultEditor::new().map_err(terminal)?;
        Ok(Self { editor: Some(editor), output })
    }

    /// The next text; `None` where the user leaves.
    async fn next(&mut self) -> Result<Option<String>, Error> {
        let mut text = match self.line(">>> ").await? {
            Some(line) => line,
            None => return Ok(None),
        };
        if let Some(rest) = text.trim().strip_prefix("\"\"\"") {
            let mut whole = rest.to_owned();
            while !whole.ends_with("\"\"\"") {
                let Some(line) = self.line("... ").await? else { return Ok(None) };
                whole.push('\n');
                whole.push_str(&line);
            }
            text = whole.trim_end_matches("\"\"\"").to_owned();
        }
        Ok(Some(text))
    }

    async fn line(&mut self, prompt: &'static str) -> Result<Option<String>, Error> {
        loop {
            let Some(mut editor) = self.editor.take() else { return Ok(None) };
            let read = tokio::task::spawn_blocking(move || {
                let line = editor.readline(prompt);
                if let Ok(line) = &line {
                    // A line that cannot be remembered is answered all the same.
                    drop(editor.add_history_entry(line.as_str()));
                }
                (editor, line)
            });
            let (editor, line) = read.await.map_err(|e| terminal(ReadlineError::Io(std::io::Error::other(e))))?;
            self.editor = Some(editor);
            match line {
                Ok(line) => return Ok(Some(line)),
                Err(ReadlineError::Eof) => return Ok(None),
                Err(ReadlineError::Interrupted) => self.output.line("Ctrl-D or /exit leaves.")?,
                Err(error) => return Err(terminal(error)),
            }
        }
    }
}

fn terminal(error: ReadlineError) -> Error {
    let source = match error {
        ReadlineError::Io(source) => source,
        other => std::io::Error::other(other),
    };
    Error::File { what: "reading from the terminal".into(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_questions() {
        assert_eq!(read("  /set temperature  0.2 "), Input::Set("temperature", "0.2"));
        assert_eq!(read("/set"), Input::ShowSettings);
        assert_eq!(read("/system Be brief."), Input::System("Be brief."));
        assert_eq!(read("/bye"), Input::Exit);
        assert_eq!(read("/wat"), Input::Unknown("/wat"));
        assert_eq!(read("/etc/passwd is what?"), Input::Question("/etc/passwd is what?"));
        assert_eq!(read(" What is Clowder? "), Input::Question("What is Clowder?"));
        assert_eq!(read("   "), Input::Nothing);
    }
}
