//! For [`Engine`]: a scripted one, and the suite.

use crate::engine::{
    Engine, EngineError, EngineInfo, EngineLoad, FinishReason, GenerateEvent, GenerateRequest, Sampling, Token, Usage,
};
use crate::{BoxStream, ModelName};
use async_trait::async_trait;
use futures::StreamExt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// An engine whose tokens are bytes and whose answer is the same each time.
pub struct ScriptedEngine {
    info: EngineInfo,
    answer: Vec<String>,
    active: Arc<AtomicU32>,
    idle: Arc<Notify>,
    draining: AtomicBool,
    asked: Mutex<Vec<GenerateRequest>>,
}

impl ScriptedEngine {
    /// An engine that answers with these pieces of text, one token each.
    pub fn new(answer: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let info = EngineInfo {
            name: "scripted".to_owned(),
            parameters: 1,
            weight_bytes: 1,
            vocabulary: 256,
            context: 4096,
            trained_context: 4096,
            slots: 4,
            adapters: Vec::new(),
            chat_template: None,
            bos: None,
            eos: None,
        };
        Self {
            info,
            answer: answer.into_iter().map(Into::into).collect(),
            active: Arc::default(),
            idle: Arc::default(),
            draining: AtomicBool::new(false),
            asked: Mutex::default(),
        }
    }

    /// The requests it began, in order.
    pub fn asked(&self) -> Vec<GenerateRequest> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The same, with adapters that change nothing.
    #[must_use]
    pub fn with_adapters(mut self, adapters: impl IntoIterator<Item = ModelName>) -> Self {
        self.info.adapters = adapters.into_iter().collect();
        self
    }
}

/// Counts one generation for as long as its stream lives.
struct Active(Arc<AtomicU32>, Arc<Notify>);

impl Drop for Active {
    fn drop(&mut self) {
        if self.0.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.1.notify_waiters();
        }
    }
}

#[async_trait]
impl Engine for ScriptedEngine {
    fn info(&self) -> &EngineInfo {
        &self.info
    }

    fn tokenize(&self, text: &str, _: bool) -> Result<Vec<Token>, EngineError> {
        Ok(text.bytes().map(Token::from).collect())
    }

    fn detokenize(&self, tokens: &[Token], _: bool) -> Vec<u8> {
        tokens.iter().filter_map(|&token| u8::try_from(token).ok()).collect()
    }

    async fn generate(&self, request: GenerateRequest) -> Result<BoxStream<GenerateEvent>, EngineError> {
        if self.draining.load(Ordering::SeqCst) {
            return Err(EngineError::Draining);
        }
        if let Some(unknown) = request.adapter.as_ref().filter(|adapter| !self.info.adapters.contains(adapter)) {
            return Err(EngineError::Rejected { reason: format!("there is no adapter {unknown}") });
        }
        let prompt = u32::try_from(request.prompt.len()).unwrap_or(u32::MAX);
        if prompt == 0 {
            return Err(EngineError::Rejected { reason: "the prompt is empty".to_owned() });
        }
        if prompt >= self.info.context {
            return Err(EngineError::ContextExceeded { prompt, context: self.info.context });
        }
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
        self.active.fetch_add(1, Ordering::SeqCst);
        let guard = Active(Arc::clone(&self.active), Arc::clone(&self.idle));
        let most = request.max_tokens.map_or(usize::MAX, |most| most as usize);
        let reason = if most < self.answer.len() { FinishReason::Length } else { FinishReason::Stop };
        let pieces: Vec<String> = self.answer.iter().take(most).cloned().collect();
        let completion = u32::try_from(pieces.len()).unwrap_or(u32::MAX);
        let outputs = pieces.into_iter().map(|text| GenerateEvent::Output { text, logprobs: Vec::new() });
        let usage = Usage { prompt, completion, ..Usage::default() };
        let events = outputs.chain([GenerateEvent::Finished { reason, usage }]);
        Ok(futures::stream::iter(events.collect::<Vec<_>>())
            .then(move |event| {
                let _counted = &guard;
                async move {
                    tokio::task::yield_now().await;
                    event
                }
            })
            .boxed())
    }

    fn load(&self) -> EngineLoad {
        EngineLoad { active: self.active.load(Ordering::SeqCst), ..EngineLoad::default() }
    }

    async fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
        loop {
            let idle = self.idle.notified();
            if self.active.load(Ordering::SeqCst) == 0 {
                return;
            }
            idle.await;
        }
    }
}

/// The suite, on an idle engine; drains it at the end.
///
/// # Panics
/// Where the engine does not keep to the trait's word.
pub async fn conformance(engine: Arc<dyn Engine>) {
    let info = engine.info().clone();
    assert!(info.slots > 0 && info.context > 1, "{info:?}");
    let text = "Grüße, 你好 🐱!";
    let tokens = engine.tokenize(text, false).expect("tokens");
    let back = String::from_utf8(engine.detokenize(&tokens, false)).expect("UTF-8");
    assert_eq!(back.trim_start(), text, "tokenizing loses nothing");

    let greedy = Sampling { temperature: 0.0, ..Sampling::default() };
    let request = |most: u32| GenerateRequest {
        prompt: tokens.clone(),
        adapter: None,
        max_tokens: Some(most),
        sampling: greedy.clone(),
        stop: Vec::new(),
        logprobs: None,
        ignore_eos: false,
    };
    let (first, usage) = finished(engine.as_ref(), request(8)).await;
    assert!(usage.completion <= 8, "{usage:?}");
    assert_eq!(usage.prompt as usize, tokens.len());
    let (second, _) = finished(engine.as_ref(), request(8)).await;
    assert_eq!(first, second, "greedy and alone, the same each time");
    let (_, usage) = finished(engine.as_ref(), request(1)).await;
    assert_eq!(usage.completion, 1, "max_tokens");

    let many = futures::future::join_all((0..info.slots * 2).map(|_| finished(engine.as_ref(), request(4)))).await;
    assert_eq!(many.len(), info.slots as usize * 2, "more requests than slots all finish");

    let empty = engine.generate(GenerateRequest { prompt: Vec::new(), ..request(1) }).await;
    assert!(matches!(empty.err(), Some(EngineError::Rejected { .. })), "an empty prompt is rejected");
    let long = GenerateRequest { prompt: vec![tokens[0]; info.context as usize + 1], ..request(1) };
    let long = engine.generate(long).await.err();
    assert!(matches!(long, Some(EngineError::ContextExceeded { .. })), "{long:?}");

    let unknown = GenerateRequest { adapter: "no-such-adapter".parse().ok(), ..request(1) };
    let unknown = engine.generate(unknown).await.err();
    assert!(matches!(unknown, Some(EngineError::Rejected { .. })), "{unknown:?}");

    let mut left = engine.generate(GenerateRequest { ignore_eos: true, ..request(64) }).await.expect("begun");
    left.next().await.expect("an event");
    drop(left);
    let last = engine.generate(request(2)).await.expect("begun");
    let ((), (text, _)) = tokio::join!(engine.drain(), collect(last));
    drop(text);
    assert_eq!(engine.load().active, 0, "drained");
    let refused = engine.generate(request(1)).await.err();
    assert!(matches!(refused, Some(EngineError::Draining)), "{refused:?}");
}

async fn finished(engine: &dyn Engine, request: GenerateRequest) -> (String, Usage) {
    collect(engine.generate(request).await.expect("begun")).await
}

async fn collect(mut events: BoxStream<GenerateEvent>) -> (String, Usage) {
    let mut output = String::new();
    loop {
        match events.next().await.expect("a terminal event before the end") {
            GenerateEvent::Output { text, .. } => output.push_str(&text),
            GenerateEvent::Finished { usage, .. } => {
                assert!(events.next().await.is_none(), "nothing after the terminal event");
                return (output, usage);
            }
            GenerateEvent::Failed(error) => panic!("failed: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn scripted_conforms() {
        conformance(Arc::new(Arc::new(ScriptedEngine::new(["Hello", ", ", "world"])))).await;
    }
}
