//! The llama.cpp engine: one model, one thread that evaluates, any number of requests.

mod companions;
mod counters;
mod draft;
mod evaluator;
mod inbox;
mod load;
mod logprob;
mod options;
mod output;
mod pace;
mod prefix;
mod reply;
mod scheduler;
mod slot;
pub(crate) mod stop;
mod utf8;

pub use load::LoadError;
pub use options::{AdapterFile, DraftFile, EngineOptions};

use crate::llama::{Batch, Context, ContextOptions, Model};
use async_trait::async_trait;
use clowder_core::engine::{Engine, EngineError, EngineInfo, EngineLoad, GenerateEvent, GenerateRequest, Token};
use clowder_core::gguf::GgufKind;
use clowder_core::memory::PHYSICAL_BATCH;
use clowder_core::model::Setting;
use clowder_core::{BoxStream, ModelName};
use counters::Counters;
use evaluator::LlamaEvaluator;
use futures::StreamExt;
use inbox::{Inbox, Job};
use load::{failed, unloadable};
use scheduler::{Limits, Scheduler};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::watch;

/// Bytes of weights below which one thread evaluates a model.
const SMALL_MODEL: u64 = 32 << 20;

/// A model loaded by llama.cpp.
///
/// Dropping it ends its thread after the batch in evaluation; generations not ended fail with
/// [`EngineError::Draining`].
pub struct LlamaEngine {
    info: EngineInfo,
    model: Arc<Model>,
    inbox: Arc<Inbox>,
    counters: Arc<Counters>,
    cells: u64,
    alive: watch::Receiver<bool>,
    thread: Option<JoinHandle<()>>,
}

impl LlamaEngine {
    /// Loads a GGUF file and evaluates one token with it. Blocks for as long as that takes.
    ///
    /// # Errors
    /// [`LoadError`] with the reason, in words for the one who deployed the model.
    pub fn load(path: &Path, options: &EngineOptions) -> Result<Self, LoadError> {
        let facts = load::check(path, GgufKind::Model)?;
        let settings = &options.settings;
        let shown = path.display();
        let extra = settings.extra.iter().map(|(name, value)| Setting::parse(name, value));
        let extra: Vec<Setting> = extra.collect::<Result<_, _>>().map_err(|error| unloadable(error.to_string()))?;
        let mut model = Model::load(path, settings.gpu_layers, &extra).map_err(|error| LoadError::of(path, error))?;
        if !model.generates() {
            return Err(unloadable(format!("{shown}: {} models do not generate text", facts.architecture)));
        }
        let (slots, context) = (settings.slots(), settings.context(model.trained_context()));
        let Some(cells) = slots.checked_mul(context).filter(|_| context > 1) else {
            return Err(unloadable(format!("{slots} slots of {context} tokens of context are no usable size")));
        };
        companions::load_adapters(&mut model, &facts, &options.adapters)?;
        let model = Arc::new(model);
        let draft = options.draft.as_ref();
        let drafter =
            draft.map(|draft| companions::load_draft(draft, &model, settings, &extra, context)).transpose()?;
        let batch = batch_of(cells);
        let threads = settings.threads.unwrap_or_else(|| threads_for(model.weight_bytes()));
        let context_options = ContextOptions {
            cells,
            batch,
            sequences: slots,
            outputs: draft.map_or(0, |draft| draft.tokens) + 1,
            threads,
            kv_type: settings.kv_type,
            settings: extra,
        };
        let mut evaluated =
            Context::new(Arc::clone(&model), context_options).map_err(|error| LoadError::of(path, error))?;
        for (number, adapter) in options.adapters.iter().enumerate() {
            evaluated.select(Some(number));
            evaluate_one(&adapter.path, &model, &mut evaluated)?;
        }
        evaluated.select(None);
        evaluate_one(path, &model, &mut evaluated)?;
        let adapters = options.adapters.iter().map(|adapter| adapter.name.clone()).collect();
        let info = EngineInfo { adapters, ..describe(path, &model, context, slots) };
        tracing::info!(model = %info.name, context, slots, threads, parameters = info.parameters, "model loaded");
        let limits = Limits {
            context: context as usize,
            slots: slots as usize,
            batch: batch as usize,
            vocabulary: info.vocabulary,
            ends: (0..info.vocabulary).filter(|&token| model.ends(token)).collect(),
            partial: model.rolls_back(),
        };
        let cells = u64::from(evaluated.cells());
        let evaluator = LlamaEvaluator { model: Arc::clone(&model), context: evaluated };
        let inbox = Arc::new(Inbox::new(slots, options.queue));
        let counters = Arc::new(Counters::default());
        let scheduler = Scheduler::new(evaluator, drafter, limits, Arc::clone(&inbox), Arc::clone(&counters));
        let (thread, alive) = spawn(scheduler, Arc::clone(&inbox))?;
        Ok(Self { info, model, inbox, counters, cells, alive, thread: Some(thread) })
    }

    /// Returns when the engine's thread has broken down; an engine whose thread is gone answers nothing any more, and
    /// its process should end.
    pub async fn broken(&self) {
        let mut alive = self.alive.clone();
        // The sender is gone only when the thread is.
        let _ = alive.wait_for(|alive| !alive).await;
    }

    /// Whether the vocabulary wants its first token before every prompt that lacks it.
    pub fn adds_bos(&self) -> bool {
        self.model.adds_bos()
    }
}

fn spawn(
    mut scheduler: Scheduler<LlamaEvaluator>,
    inbox: Arc<Inbox>,
) -> Result<(JoinHandle<()>, watch::Receiver<bool>), LoadError> {
    let (alive, watched) = watch::channel(true);
    let body = move || {
        if catch_unwind(AssertUnwindSafe(|| scheduler.run())).is_err() {
            tracing::error!("the engine's thread has panicked");
            inbox.abandon();
        }
        drop(scheduler);
        alive.send_replace(false);
    };
    let thread = std::thread::Builder::new()
        .name("engine".to_owned())
        .spawn(body)
        .map_err(|error| failed(format!("the engine's thread cannot be started: {error}")))?;
    Ok((thread, watched))
}

/// Tokens of one batch, for a cache of so many cells.
fn batch_of(cells: u32) -> u32 {
    u32::try_from(PHYSICAL_BATCH).unwrap_or(u32::MAX).min(cells)
}

/// What cannot be evaluated is known before it is asked for.
fn evaluate_one(path: &Path, model: &Model, context: &mut Context) -> Result<(), LoadError> {
    let mut batch = Batch::new(1);
    batch.push(model.bos().unwrap_or(0), 0, 0, true);
    context.decode(&mut batch).map_err(|error| failed(format!("{}: {error}", path.display())))?;
    context.forget(0, 0);
    Ok(())
}

fn describe(path: &Path, model: &Model, context: u32, slots: u32) -> EngineInfo {
    let text = |token: Option<Token>| {
        let mut bytes = Vec::new();
        model.piece(token?, true, &mut bytes);
        String::from_utf8(bytes).ok().filter(|text| !text.is_empty())
    };
    let stem = || path.file_stem().map_or_else(|| "model".to_owned(), |stem| stem.to_string_lossy().into_owned());
    EngineInfo {
        name: model.metadata("general.name").filter(|name| !name.is_empty()).unwrap_or_else(stem),
        parameters: model.parameters(),
        weight_bytes: model.weight_bytes(),
        vocabulary: model.vocabulary(),
        context,
        trained_context: model.trained_context(),
        slots,
        adapters: Vec::new(),
        chat_template: model.metadata("tokenizer.chat_template"),
        bos: text(model.bos()),
        eos: text(model.eos()),
    }
}

/// The threads that a model of so many bytes is evaluated with where nothing is said.
///
/// Beyond the physical cores the matrix kernels get slower; a container may have fewer than the machine. The kernels'
/// threads meet after each operation, spinning, so that a small model gains nothing from a second one and loses much
/// where the other core is busy.
fn threads_for(weight_bytes: u64) -> u32 {
    if weight_bytes < SMALL_MODEL {
        return 1;
    }
    let usable = std::thread::available_parallelism().map_or(1, usize::from);
    let cores = sysinfo::System::physical_core_count().unwrap_or(usable).min(usable).max(1);
    u32::try_from(cores).unwrap_or(1)
}

fn unknown_adapter(name: &ModelName) -> EngineError {
    EngineError::Rejected { reason: format!("this worker has no adapter '{name}'") }
}

#[async_trait]
impl Engine for LlamaEngine {
    fn info(&self) -> &EngineInfo {
        &self.info
    }

    fn tokenize(&self, text: &str, special: bool) -> Result<Vec<Token>, EngineError> {
        self.model
            .tokenize(text, special)
            .ok_or_else(|| EngineError::Rejected { reason: "the model's vocabulary cannot spell this text".to_owned() })
    }

    fn detokenize(&self, tokens: &[Token], special: bool) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(tokens.len() * 4);
        tokens.iter().for_each(|&token| self.model.piece(token, special, &mut bytes));
        bytes
    }

    async fn generate(&self, request: GenerateRequest) -> Result<BoxStream<GenerateEvent>, EngineError> {
        if !*self.alive.borrow() {
            return Err(EngineError::Failed { source: "the engine's thread has ended".into() });
        }
        let prompt = u32::try_from(request.prompt.len()).unwrap_or(u32::MAX);
        if prompt == 0 {
            return Err(EngineError::Rejected { reason: "the prompt is empty".to_owned() });
        }
        if prompt >= self.info.context {
            return Err(EngineError::ContextExceeded { prompt, context: self.info.context });
        }
        if let Some(token) = request.prompt.iter().find(|&&token| token >= self.info.vocabulary) {
            let most = self.info.vocabulary - 1;
            let reason = format!("token {token} is not in the model's vocabulary, which ends at {most}");
            return Err(EngineError::Rejected { reason });
        }
        let number = |name: &ModelName| self.info.adapters.iter().position(|known| known == name);
        let adapter = request.adapter.as_ref().map(|name| number(name).ok_or_else(|| unknown_adapter(name)));
        let adapter = adapter.transpose()?;
        let (reply, replies) = reply::channel(Arc::clone(&self.inbox));
        self.inbox.push(Job { request, adapter, reply })?;
        Ok(replies.boxed())
    }

    fn load(&self) -> EngineLoad {
        self.counters.load(self.inbox.queued(), self.cells)
    }

    async fn drain(&self) {
        self.inbox.drain().await;
    }
}

impl Drop for LlamaEngine {
    fn drop(&mut self) {
        self.inbox.close();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so itself.
            let _ = thread.join();
        }
    }
}
