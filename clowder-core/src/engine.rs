//! `Engine`: the inference seam inside a worker.

use crate::{BoxError, BoxStream, ModelName};
use async_trait::async_trait;
use std::sync::Arc;

/// A token of the model's vocabulary.
pub type Token = u32;

/// What a loaded engine is.
#[derive(Clone, Debug, PartialEq)]
pub struct EngineInfo {
    /// The model's own name, from its file.
    pub name: String,
    /// Parameters of the model.
    pub parameters: u64,
    /// Bytes of its weights.
    pub weight_bytes: u64,
    /// Tokens in the vocabulary.
    pub vocabulary: u32,
    /// Tokens of context of one request, prompt and output together.
    pub context: u32,
    /// Tokens of context the model was trained for.
    pub trained_context: u32,
    /// Requests generated at the same time.
    pub slots: u32,
    /// The adapters that requests may ask for.
    pub adapters: Vec<ModelName>,
    /// The model's own chat template, in Jinja.
    pub chat_template: Option<String>,
    /// Text of the token that begins a sequence, where the model has one.
    pub bos: Option<String>,
    /// Text of the token that ends a turn, where the model has one.
    pub eos: Option<String>,
}

/// How the next token is chosen. Fields carry the names, ranges and neutral values of llama.cpp.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// 0 takes the likeliest token.
    pub temperature: f32,
    /// Only the so many likeliest; 0 is all.
    pub top_k: u32,
    /// Only the likeliest that make up this share; 1 is all.
    pub top_p: f32,
    /// Only those at least this share as likely as the likeliest; 0 is all.
    pub min_p: f32,
    /// Locally typical sampling; 1 is off.
    pub typical_p: f32,
    /// Divides the logits of tokens seen; 1 is off.
    pub repeat_penalty: f32,
    /// Tokens back that penalties look; 0 switches penalties off.
    pub repeat_last_n: u32,
    /// Subtracted once from the logits of tokens seen; 0 is off.
    pub presence_penalty: f32,
    /// Subtracted per occurrence from the logits of tokens seen; 0 is off.
    pub frequency_penalty: f32,
    /// Added to single tokens' logits.
    pub logit_bias: Vec<(Token, f32)>,
    /// Same seed, same prompt, alone on the worker: same output. `None` draws one.
    pub seed: Option<u32>,
}

impl Default for Sampling {
    /// llama-server's defaults.
    fn default() -> Self {
        Self {
            temperature: 0.8,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.05,
            typical_p: 1.0,
            repeat_penalty: 1.0,
            repeat_last_n: 64,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            logit_bias: Vec::new(),
            seed: None,
        }
    }
}

/// One generation.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerateRequest {
    /// The prompt; not empty, shorter than the context.
    pub prompt: Vec<Token>,
    /// The adapter it asks for, one of [`EngineInfo::adapters`]; `None` takes the model as it is.
    pub adapter: Option<ModelName>,
    /// The most tokens to generate; `None` goes on to the end of the context.
    pub max_tokens: Option<u32>,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Texts that end the output and are not part of it. None is empty.
    pub stop: Vec<String>,
    /// How many alternatives to report with each token; `None` reports no probabilities.
    pub logprobs: Option<u32>,
    /// Whether to go on past the model's own end of turn.
    pub ignore_eos: bool,
}

/// A token's probability and its rivals'.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenLogprob {
    /// The token's bytes; one character may span several tokens.
    pub bytes: Vec<u8>,
    /// Natural logarithm of its probability.
    pub logprob: f32,
    /// The likeliest tokens with theirs, likeliest first.
    pub top: Vec<(Vec<u8>, f32)>,
}

/// Why a generation ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// The model ended its turn, or a stop text came.
    Stop,
    /// `max_tokens` or the context is used up.
    Length,
}

/// What a generation took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt: u32,
    /// Those of them whose KV was already there.
    pub cached: u32,
    /// Tokens generated.
    pub completion: u32,
    /// Tokens that a draft model guessed for it.
    pub drafted: u32,
    /// Those of them that the model chose itself, and so generated sooner.
    pub accepted: u32,
    /// Milliseconds of prompt evaluation, queueing left out.
    pub prefill_ms: f64,
    /// Milliseconds of generation.
    pub decode_ms: f64,
}

/// What a generation yields: any number of [`Output`](Self::Output), then exactly one of the others.
#[derive(Debug)]
pub enum GenerateEvent {
    /// More text: whole characters, stop texts held back. May be empty where only a probability is reported.
    Output {
        /// The text.
        text: String,
        /// Probabilities of the tokens it is made of, where asked for.
        logprobs: Vec<TokenLogprob>,
    },
    /// The end.
    Finished {
        /// Why.
        reason: FinishReason,
        /// What it took.
        usage: Usage,
    },
    /// It could not be finished.
    Failed(EngineError),
}

/// How busy an engine is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineLoad {
    /// Requests that wait for a slot.
    pub queued: u32,
    /// Requests in slots.
    pub active: u32,
    /// Tokens of KV in use.
    pub kv_tokens: u64,
    /// Tokens of KV there are.
    pub kv_capacity: u64,
    /// Prompt tokens evaluated since the start.
    pub prompt_tokens: u64,
    /// Prompt tokens taken from KV since the start.
    pub cached_tokens: u64,
    /// Tokens generated since the start.
    pub completion_tokens: u64,
    /// Tokens that a draft model guessed since the start.
    pub drafted_tokens: u64,
    /// Those of them that the model chose itself.
    pub accepted_tokens: u64,
    /// Requests given up by their caller since the start.
    pub cancelled: u64,
}

/// A loaded model that generates.
///
/// Why tokens, not messages? The template is text work that any server can do in its own task; the engine's thread does
/// nothing but evaluate.
#[async_trait]
pub trait Engine: Send + Sync {
    /// What was loaded.
    fn info(&self) -> &EngineInfo;

    /// The tokens of a text; `special` lets control tokens in it be read as such.
    ///
    /// # Errors
    /// [`EngineError::Rejected`] for text the vocabulary cannot spell.
    fn tokenize(&self, text: &str, special: bool) -> Result<Vec<Token>, EngineError>;

    /// The bytes of tokens, control tokens included when `special`.
    fn detokenize(&self, tokens: &[Token], special: bool) -> Vec<u8>;

    /// Begins a generation. Dropping the stream aborts it and frees its slot.
    ///
    /// # Errors
    /// [`EngineError::ContextExceeded`], [`EngineError::Rejected`] (also for an adapter there is not),
    /// [`EngineError::Overloaded`],
    /// [`EngineError::Draining`].
    async fn generate(&self, request: GenerateRequest) -> Result<BoxStream<GenerateEvent>, EngineError>;

    /// How busy it is. Cheap.
    fn load(&self) -> EngineLoad;

    /// Takes nothing new, and returns when all that was begun has ended.
    async fn drain(&self);
}

#[async_trait]
impl<T: Engine + ?Sized> Engine for Arc<T> {
    fn info(&self) -> &EngineInfo {
        T::info(self)
    }

    fn tokenize(&self, text: &str, special: bool) -> Result<Vec<Token>, EngineError> {
        T::tokenize(self, text, special)
    }

    fn detokenize(&self, tokens: &[Token], special: bool) -> Vec<u8> {
        T::detokenize(self, tokens, special)
    }

    async fn generate(&self, request: GenerateRequest) -> Result<BoxStream<GenerateEvent>, EngineError> {
        T::generate(self, request).await
    }

    fn load(&self) -> EngineLoad {
        T::load(self)
    }

    async fn drain(&self) {
        T::drain(self).await;
    }
}

/// Why an engine did not generate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The prompt leaves no room in the context.
    #[error(
        "the prompt has {prompt} tokens, the context of this model takes {context}: shorten the prompt or deploy the model with a larger context"
    )]
    ContextExceeded {
        /// Tokens of the prompt.
        prompt: u32,
        /// Tokens of the context.
        context: u32,
    },
    /// The request makes no sense to this model.
    #[error("{reason}")]
    Rejected {
        /// Why, for a person.
        reason: String,
    },
    /// The queue is full.
    #[error("the worker's queue of {queue} requests is full: try again later")]
    Overloaded {
        /// Its length.
        queue: u32,
    },
    /// It takes nothing new.
    #[error("the worker is stopping")]
    Draining,
    /// Evaluation broke.
    #[error("the evaluation of the model failed")]
    Failed {
        /// Why.
        #[source]
        source: BoxError,
    },
}
