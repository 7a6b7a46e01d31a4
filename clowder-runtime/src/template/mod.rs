//! Chat templates: messages to the text that a model was trained on.
//!
//! Models bring their template in the dialect of Jinja that Hugging Face's `transformers` renders; here it is rendered by
//! `minijinja` with what that dialect adds. A template is as untrusted as the model file it comes in: it can neither
//! read files nor run for long nor fill the memory.

mod clock;
mod json;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde};
use minijinja::{Environment, Error, ErrorKind, Value};
use serde::Serialize;

/// The template of models that bring none.
const CHATML: &str = "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n\
                      {% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/// Steps and, in units of 64 bytes, memory of one rendering: far more than any conversation takes.
const FUEL: u64 = 5_000_000;

/// The largest template that is read, in bytes; real ones have a tenth of it at most.
const MAX_TEMPLATE: usize = 512 * 1024;

/// A compiled chat template.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    bos: String,
    eos: String,
}

/// What is rendered.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ChatPrompt {
    /// Messages as OpenAI's API has them, contents as text.
    pub messages: Vec<serde_json::Value>,
    /// Tools as OpenAI's API has them.
    pub tools: Option<serde_json::Value>,
    /// Whether the text ends where the assistant's answer begins.
    pub add_generation_prompt: bool,
    /// More variables of the template: `chat_template_kwargs`.
    #[serde(flatten)]
    pub extra: serde_json::Map<String, serde_json::Value>,
}

/// Why messages could not be rendered.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// The template itself does not compile.
    #[error("the model's chat template is broken: {reason}")]
    Broken {
        /// What and where.
        reason: String,
    },
    /// The template refuses these messages, or fails on them.
    #[error("the model's chat template refuses these messages: {reason}")]
    Refused {
        /// In its own words where it has some.
        reason: String,
    },
}

impl ChatTemplate {
    /// Compiles a model's template; ChatML where it has none.
    ///
    /// # Errors
    /// [`TemplateError::Broken`].
    pub fn new(source: Option<&str>, bos: Option<&str>, eos: Option<&str>) -> Result<Self, TemplateError> {
        let source = source.filter(|source| !source.trim().is_empty()).unwrap_or(CHATML);
        if source.len() > MAX_TEMPLATE {
            let reason = format!("it has {} bytes, more than any template needs", source.len());
            return Err(TemplateError::Broken { reason });
        }
        let mut environment = environment()?;
        environment.add_template_owned("chat", source.to_owned()).map_err(|error| broken(&error))?;
        let text = |token: Option<&str>| token.unwrap_or_default().to_owned();
        Ok(Self { environment, bos: text(bos), eos: text(eos) })
    }

    /// The prompt's text.
    ///
    /// # Errors
    /// [`TemplateError::Refused`].
    pub fn render(&self, prompt: &ChatPrompt) -> Result<String, TemplateError> {
        let context = minijinja::context! {
            bos_token => self.bos.as_str(),
            eos_token => self.eos.as_str(),
            ..Value::from(Serde(prompt))
        };
        let template = self.environment.get_template("chat").map_err(|error| broken(&error))?;
        template.render(context).map_err(|error| TemplateError::Refused { reason: words(&error) })
    }
}

fn environment() -> Result<Environment<'static>, TemplateError> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.map_err(|error| broken(&error))?);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(64);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function("raise_exception", |reason: String| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, reason))
    });
    environment.add_function("strftime_now", |format: String| clock::strftime(&format, clock::now()));
    environment.add_filter("tojson", |value: Value, options: Kwargs| -> Result<Value, Error> {
        let indent: Option<usize> = options.get("indent")?;
        // The other options of `json.dumps` say what is done here anyway.
        let _: Option<Value> = options.get("ensure_ascii")?;
        let _: Option<Value> = options.get("separators")?;
        let _: Option<Value> = options.get("sort_keys")?;
        options.assert_all_used()?;
        json::dumps(&value, indent).map(Value::from_safe_string)
    });
    Ok(environment)
}

fn broken(error: &Error) -> TemplateError {
    TemplateError::Broken { reason: words(error) }
}

/// What went wrong, without the template's name and without a Debug dump.
fn words(error: &Error) -> String {
    let what = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    match (error.kind(), error.line()) {
        (ErrorKind::OutOfFuel, _) => "it takes too long".to_owned(),
        (ErrorKind::SyntaxError, Some(line)) => format!("{what} (line {line})"),
        _ => what,
    }
}

#[cfg(test)]
mod tests;
