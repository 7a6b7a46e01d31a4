//! `clowder run`: a chat in the terminal, or one answer.

mod answer;
mod repl;
mod settings;
mod target;

use crate::context::Context;
use crate::exit::Error;
use answer::{Printing, answer};
use settings::Settings;
use std::io::{IsTerminal, Read};

/// The longest question read from a pipe, in bytes.
const MAX_QUESTION: u64 = 4 << 20;

/// Options of `run`.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct RunArgs {
    /// A served model's name, a bundled model (kitten), or a URL or .gguf file, which is then served
    model: String,
    /// A question to answer; without one, a chat begins, or the question comes from a pipe
    question: Vec<String>,
    /// What the model is told before the conversation
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// How freely the next word is chosen: 0 takes the likeliest
    #[arg(long, value_name = "NUMBER")]
    temperature: Option<f64>,
    /// The longest answer, in tokens
    #[arg(long, value_name = "TOKENS")]
    max_tokens: Option<u32>,
    /// The same number gives the same answer, as far as the engine can
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u32>,
}

impl RunArgs {
    fn settings(&self) -> Result<Settings, Error> {
        let mut settings = Settings::default();
        let given = [
            ("temperature", self.temperature.map(|number| number.to_string())),
            ("max_tokens", self.max_tokens.map(|number| number.to_string())),
            ("seed", self.seed.map(|number| number.to_string())),
        ];
        for (name, value) in given {
            if let Some(value) = value {
                settings.set(name, &value).map_err(Error::usage)?;
            }
        }
        settings.system.clone_from(&self.system);
        Ok(settings)
    }

    /// The question, where there is one: typed behind the model's name, or piped in.
    async fn question(&self) -> Result<Option<String>, Error> {
        if !self.question.is_empty() {
            return Ok(Some(self.question.join(" ")));
        }
        if std::io::stdin().is_terminal() {
            return Ok(None);
        }
        let read = || {
            let mut text = String::new();
            std::io::stdin().lock().take(MAX_QUESTION).read_to_string(&mut text).map(|_| text)
        };
        let joined = tokio::task::spawn_blocking(read).await.map_err(std::io::Error::other);
        let text = joined.and_then(|read| read).map_err(Error::file("reading the question from standard input"))?;
        match text.trim() {
            "" => Err(Error::usage("standard input is empty: pipe a question in, or write it behind the model's name")),
            question => Ok(Some(question.to_owned())),
        }
    }
}

/// Finds a server or starts one, then chats or answers.
pub(crate) async fn run(args: RunArgs, context: Context) -> Result<(), Error> {
    let settings = args.settings()?;
    let question = args.question().await?;
    // Its server, if one had to be started, lives as long as this.
    let target = tokio::select! {
        target = target::find(&args.model, &context) => target?,
        _ = tokio::signal::ctrl_c() => return Err(Error::Interrupted),
    };
    let outcome = match question {
        Some(question) => {
            let messages = settings.conversation(&[], &question);
            let printing = Printing::of(context.output);
            let answered = answer(&target.client, &target.model, &messages, &settings, printing).await;
            answered.and_then(|answer| if answer.interrupted { Err(Error::Interrupted) } else { Ok(()) })
        }
        None => repl::chat(&target, settings, context.output).await,
    };
    target.close().await;
    outcome
}
