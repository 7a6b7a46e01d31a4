//! What the handlers share.

use super::error::ApiError;
use super::fields::Fields;
use super::generation::Generation;
use super::messages::Conversation;
use super::metrics::Metrics;
use super::params::Params;
use super::wire::{Head, new_id};
use crate::template::{ChatTemplate, TemplateError};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, HeaderName};
use axum::response::IntoResponse;
use bytes::Bytes;
use clowder_core::engine::{Engine, EngineError, Token};
use clowder_core::{ModelName, Secret};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Bytes of text above which tokenizing takes too long for a thread that other requests wait for.
const LONG_TEXT: usize = 16 << 10;

/// Bytes of a character: what a token at least may stand for in a vocabulary that has one for all it does not know.
const LONGEST_CHARACTER: usize = 4;

/// The model that a gateway routed a request to. Where it says this worker's, the name in the body is one that the gateway
/// knows the model by: this worker knows only the first, and those of its adapters.
const ROUTED_TO: HeaderName = HeaderName::from_static("x-clowder-model");

/// A model that is loaded.
pub(crate) struct Serving {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) template: Result<ChatTemplate, TemplateError>,
    /// The token that the vocabulary wants before every prompt.
    pub(crate) bos: Option<Token>,
    /// The most bytes of text that one token stands for.
    pub(crate) longest_token: usize,
    /// OpenAI's `system_fingerprint`: the same for the same model and version.
    pub(crate) fingerprint: String,
}

impl Serving {
    /// The adapter that a request asks for, by the name in its `model`; `None` where that is no adapter's.
    pub(crate) fn adapter(&self, fields: &Fields) -> Result<Option<ModelName>, ApiError> {
        let asked = fields.text("model")?;
        let adapters = self.engine.info().adapters.iter();
        Ok(adapters.into_iter().find(|adapter| Some(adapter.as_str()) == asked).cloned())
    }

    /// The tokens of a text that may contain control tokens.
    pub(crate) async fn prompt(&self, text: &str) -> Result<Vec<Token>, ApiError> {
        self.may_fit(text)?;
        let mut tokens = self.tokenize(text, true).await?;
        if let Some(bos) = self.bos.filter(|bos| tokens.first() != Some(bos)) {
            tokens.insert(0, bos);
        }
        Ok(tokens)
    }

    /// The tokens of a text, without any that the vocabulary wants before it.
    pub(crate) async fn tokenize(&self, text: &str, special: bool) -> Result<Vec<Token>, ApiError> {
        if text.len() <= LONG_TEXT {
            return Ok(self.engine.tokenize(text, special)?);
        }
        let (engine, text) = (Arc::clone(&self.engine), text.to_owned());
        let tokens = tokio::task::spawn_blocking(move || engine.tokenize(&text, special)).await;
        Ok(tokens.map_err(|error| EngineError::Failed { source: error.into() })??)
    }

    /// Refuses a text that even the longest tokens would not bring into the context.
    fn may_fit(&self, text: &str) -> Result<(), ApiError> {
        let context = self.engine.info().context;
        let most = self.longest_token.saturating_mul(context as usize);
        // A control token may swallow any amount of white space beside it.
        let solid = || text.bytes().filter(|byte| !byte.is_ascii_whitespace()).count();
        let bytes = if text.len() > most { solid() } else { 0 };
        if bytes <= most {
            return Ok(());
        }
        Err(ApiError::context_exceeded(bytes.div_ceil(self.longest_token), context))
    }

    /// The text of a conversation.
    pub(crate) fn chat_text(&self, conversation: &Conversation) -> Result<String, ApiError> {
        let template = self.template.as_ref().map_err(TemplateError::clone)?;
        let mut text = template.render(&conversation.prompt)?;
        text.push_str(conversation.begun.as_deref().unwrap_or_default());
        Ok(text)
    }

    /// The tokens of a conversation.
    pub(crate) async fn chat_prompt(&self, conversation: &Conversation) -> Result<Vec<Token>, ApiError> {
        self.prompt(&self.chat_text(conversation)?).await
    }
}

/// The most bytes of text that one token of an engine stands for.
pub(crate) fn longest_token(engine: &dyn Engine) -> usize {
    let tokens = 0..engine.info().vocabulary;
    tokens.map(|token| engine.detokenize(&[token], true).len()).fold(LONGEST_CHARACTER, usize::max)
}

/// The state of a server.
pub(crate) struct ServerState {
    pub(crate) alias: String,
    pub(crate) api_key: Option<Secret>,
    pub(crate) body_limit: usize,
    pub(crate) metrics: Metrics,
    created: u64,
    serving: OnceLock<Arc<Serving>>,
    draining: AtomicBool,
}

impl ServerState {
    /// A server that still loads its model.
    pub(crate) fn new(alias: String, api_key: Option<Secret>, body_limit: usize) -> Self {
        Self {
            metrics: Metrics::default(),
            created: unix_seconds(),
            serving: OnceLock::new(),
            draining: AtomicBool::new(false),
            alias,
            api_key,
            body_limit,
        }
    }

    /// The model is there. Only the first call counts.
    pub(crate) fn ready(&self, serving: Serving) {
        if self.serving.set(Arc::new(serving)).is_err() {
            tracing::warn!("a server got a second model; it keeps the first");
        }
    }

    /// Nothing new is taken.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    /// The model, where the server takes requests.
    pub(crate) fn model(&self) -> Result<Arc<Serving>, ApiError> {
        if self.draining.load(Ordering::SeqCst) {
            return Err(ApiError::unavailable("draining", "the worker is stopping"));
        }
        let loading = || ApiError::unavailable("loading", "the model is loading");
        self.serving.get().cloned().ok_or_else(loading)
    }

    /// The model, where it is the one a request asks for, by its own name or an adapter's.
    pub(crate) fn serving(&self, fields: &Fields, headers: &HeaderMap) -> Result<Arc<Serving>, ApiError> {
        let serving = self.model()?;
        let routed_here = headers.get(ROUTED_TO).is_some_and(|model| *model == self.alias);
        match fields.text("model")? {
            Some(asked) if asked != self.alias && !routed_here && serving.adapter(fields)?.is_none() => {
                Err(ApiError::model_not_found(asked, &self.alias, &serving.engine.info().adapters))
            }
            _ => Ok(serving),
        }
    }

    /// The loaded model, also while draining.
    pub(crate) fn loaded(&self) -> Option<&Arc<Serving>> {
        self.serving.get()
    }

    /// Begins a generation and measures the time to its first token.
    pub(crate) async fn begin(
        &self,
        serving: &Serving,
        prompts: Vec<Vec<Token>>,
        params: &Params,
    ) -> Result<Generation, ApiError> {
        let asked = Instant::now();
        let generation = Generation::begin(serving, prompts, params).await?;
        self.metrics.first_token(asked.elapsed());
        Ok(generation)
    }

    /// The beginning of an answer, under the name that was asked for.
    pub(crate) fn head(&self, prefix: &str, object: &'static str, fields: &Fields) -> Head {
        let asked = fields.text("model").ok().flatten().unwrap_or(&self.alias);
        let fingerprint = self.serving.get().map_or_else(String::new, |serving| serving.fingerprint.clone());
        Head {
            id: new_id(prefix),
            object,
            created: unix_seconds(),
            model: asked.to_owned(),
            system_fingerprint: fingerprint,
        }
    }

    /// When the server was started, in seconds since the Unix epoch.
    pub(crate) fn created(&self) -> u64 {
        self.created
    }
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A request's body, whole and within the limit, whatever its content type says.
pub(crate) struct Body(pub(crate) Bytes);

impl FromRequest<Arc<ServerState>> for Body {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &Arc<ServerState>) -> Result<Self, ApiError> {
        match Bytes::from_request(request, state).await {
            Ok(bytes) => Ok(Self(bytes)),
            Err(rejection) => Err(ApiError::body(rejection.into_response().status(), state.body_limit)),
        }
    }
}
