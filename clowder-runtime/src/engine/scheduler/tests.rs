use super::*;
use crate::engine::draft::DraftLimits;
use crate::engine::reply::{self, Replies};
use crate::llama::DecodeError;
use clowder_core::engine::{GenerateEvent, GenerateRequest, Sampling, Usage};
use futures::{FutureExt, StreamExt};
use std::collections::{BTreeMap, VecDeque};

mod adapters;
mod drafting;

/// A model whose tokens are bytes: after token `n` comes `n + 1`, with the so-manieth adapter one more, and `z` ends.
#[derive(Default)]
struct Alphabet {
    batches: Vec<Vec<(Token, u32, SeqId, bool)>>,
    rows: Vec<Option<Vec<f32>>>,
    cache: BTreeMap<SeqId, Vec<Token>>,
    /// Answers of the next calls, before they succeed.
    failures: VecDeque<DecodeError>,
    /// A sequence that always breaks.
    broken: Option<SeqId>,
    shared: Vec<(SeqId, SeqId, u32)>,
    adapter: Option<usize>,
    /// Which adapter each batch, and each sequence, was evaluated with.
    adapters: Vec<Option<usize>>,
    cached_with: BTreeMap<SeqId, Option<usize>>,
    /// Tokens after which another comes than after those of the model, and after which all are alike.
    wrong_after: Vec<Token>,
    unsure_after: Vec<Token>,
}

impl Alphabet {
    fn logits_after(&self, token: Token) -> Vec<f32> {
        let mut logits = vec![0.0; 256];
        let step = 1 + self.adapter.map_or(0, |number| number + 1) + usize::from(self.wrong_after.contains(&token));
        logits[(token as usize + step) % 256] = if self.unsure_after.contains(&token) { 0.1 } else { 10.0 };
        logits
    }
}

impl Evaluator for Alphabet {
    fn select(&mut self, adapter: Option<usize>) {
        self.adapter = adapter;
    }

    fn decode(&mut self, batch: &mut Batch) -> Result<(), DecodeError> {
        let rows = batch.rows();
        self.batches.push(rows.clone());
        self.adapters.push(self.adapter);
        if let Some(error) = self.failures.pop_front() {
            return Err(error);
        }
        if rows.iter().any(|&(_, _, sequence, _)| Some(sequence) == self.broken) {
            return Err(DecodeError::Broken(-3));
        }
        self.rows.clear();
        for (token, position, sequence, output) in rows {
            let cache = self.cache.entry(sequence).or_default();
            assert_eq!(cache.len(), position as usize, "tokens come in order");
            if cache.is_empty() {
                self.cached_with.insert(sequence, self.adapter);
            }
            cache.push(token);
            assert_eq!(self.cached_with[&sequence], self.adapter, "the KV of a sequence is of one adapter");
            self.rows.push(output.then(|| self.logits_after(token)));
        }
        Ok(())
    }

    fn logits(&self, index: usize) -> Option<&[f32]> {
        self.rows.get(index)?.as_deref()
    }

    fn forget(&mut self, sequence: SeqId, from: u32) -> bool {
        self.cache.entry(sequence).or_default().truncate(from as usize);
        true
    }

    fn share(&mut self, from: SeqId, to: SeqId, until: u32) {
        self.shared.push((from, to, until));
        let prefix = self.cache[&from][..until as usize].to_vec();
        self.cache.insert(to, prefix);
        self.cached_with.insert(to, self.cached_with[&from]);
    }

    fn resident(&self, sequence: SeqId) -> u32 {
        self.cache.get(&sequence).map_or(0, |cache| u32::try_from(cache.len()).unwrap())
    }

    fn piece(&self, token: Token, bytes: &mut Vec<u8>) {
        bytes.push(u8::try_from(token).unwrap());
    }

    fn ends(&self, token: Token) -> bool {
        token == Token::from(b'z')
    }
}

/// Greedy, to the end of the context.
fn request(prompt: &str) -> GenerateRequest {
    GenerateRequest {
        prompt: prompt.bytes().map(Token::from).collect(),
        adapter: None,
        max_tokens: None,
        sampling: Sampling { temperature: 0.0, ..Sampling::default() },
        stop: Vec::new(),
        logprobs: None,
        ignore_eos: false,
    }
}

struct Bench {
    scheduler: Scheduler<Alphabet>,
    inbox: Arc<Inbox>,
}

impl Bench {
    fn new(slots: usize, batch: usize) -> Self {
        Self::of(slots, batch, None)
    }

    /// With a draft model that guesses so many tokens.
    fn drafted(slots: usize, batch: usize, tokens: usize, draft: Alphabet) -> Self {
        let limits = DraftLimits { tokens, context: 64, slots, batch, vocabulary: 256 };
        Self::of(slots, batch, Some(Drafter::new(draft, limits)))
    }

    fn of(slots: usize, batch: usize, drafter: Option<Drafter<Alphabet>>) -> Self {
        let limits =
            Limits { context: 64, slots, batch, vocabulary: 256, ends: vec![Token::from(b'z')], partial: true };
        let inbox = Arc::new(Inbox::new(u32::try_from(slots).unwrap(), 2));
        let scheduler = Scheduler::new(Alphabet::default(), drafter, limits, Arc::clone(&inbox), Arc::default());
        Self { scheduler, inbox }
    }

    fn begin(&self, prompt: &str, most: u32) -> Replies {
        self.begin_with(prompt, |request| request.max_tokens = Some(most))
    }

    fn begin_with(&self, prompt: &str, change: impl FnOnce(&mut GenerateRequest)) -> Replies {
        let mut request = request(prompt);
        change(&mut request);
        self.begin_request(request, None)
    }

    fn begin_request(&self, request: GenerateRequest, adapter: Option<usize>) -> Replies {
        let (reply, replies) = reply::channel(Arc::clone(&self.inbox));
        self.inbox.push(Job { request, adapter, reply }).unwrap();
        replies
    }

    fn run(&mut self) {
        while self.scheduler.step() {}
    }

    fn batches(&self) -> &[Vec<(Token, u32, SeqId, bool)>] {
        &self.scheduler.evaluator.batches
    }
}

fn text(replies: &mut Replies) -> (String, Result<(FinishReason, Usage), String>) {
    let mut output = String::new();
    loop {
        match replies.next().now_or_never().expect("an event is there").expect("a terminal event") {
            GenerateEvent::Output { text, .. } => output.push_str(&text),
            GenerateEvent::Finished { reason, usage } => return (output, Ok((reason, usage))),
            GenerateEvent::Failed(error) => return (output, Err(error.to_string())),
        }
    }
}

fn finished(replies: &mut Replies) -> (String, FinishReason, Usage) {
    let (text, end) = text(replies);
    let (reason, usage) = end.unwrap();
    (text, reason, usage)
}

#[test]
fn generates_to_the_end_the_limit_and_the_stop_text() {
    let mut bench = Bench::new(3, 32);
    let mut to_end = bench.begin_with("w", |_| {});
    let mut limited = bench.begin("a", 3);
    let mut stopped = bench.begin_with("a", |request| request.stop = vec!["ef".to_owned()]);
    bench.run();
    let (output, reason, usage) = finished(&mut to_end);
    assert_eq!((output.as_str(), reason, usage.completion), ("xy", FinishReason::Stop, 3));
    let (output, reason, _) = finished(&mut limited);
    assert_eq!((output.as_str(), reason), ("bcd", FinishReason::Length));
    let (output, reason, _) = finished(&mut stopped);
    assert_eq!((output.as_str(), reason), ("bcd", FinishReason::Stop));
}

#[test]
fn the_context_is_the_last_limit() {
    let mut bench = Bench::new(1, 64);
    let mut replies = bench.begin_with(&"a".repeat(60), |request| request.ignore_eos = true);
    bench.run();
    let (output, reason, usage) = finished(&mut replies);
    assert_eq!((output.len(), reason, usage.prompt), (4, FinishReason::Length, 60));
}

#[test]
fn ignoring_the_end_goes_past_it() {
    let mut bench = Bench::new(1, 64);
    let mut replies = bench.begin_with("x", |request| {
        request.ignore_eos = true;
        request.max_tokens = Some(3);
    });
    bench.run();
    let (output, reason, usage) = finished(&mut replies);
    assert!(output.starts_with('y') && !output.contains('z'), "{output:?}");
    assert_eq!((reason, usage.completion), (FinishReason::Length, 3));
}

#[test]
fn output_goes_on_while_a_long_prompt_is_read() {
    let mut bench = Bench::new(2, 8);
    let mut short = bench.begin("a", 5);
    bench.scheduler.step();
    let mut long = bench.begin(&"b".repeat(30), 1);
    bench.run();
    assert_eq!(finished(&mut short).0, "bcdef");
    assert_eq!(finished(&mut long).0, "c");
    for batch in &bench.batches()[1..5] {
        assert_eq!(batch[0].2, 0, "a token of output is in each batch: {batch:?}");
        assert!(batch.len() <= 8 && batch.len() > 1, "and the prompt fills it: {batch:?}");
    }
}

#[test]
fn the_next_turn_evaluates_only_what_is_new() {
    let mut bench = Bench::new(2, 64);
    let mut first = bench.begin("hello", 2);
    bench.run();
    assert_eq!(finished(&mut first).0, "pq");
    let mut second = bench.begin("hellopq more", 1);
    bench.run();
    let (_, _, usage) = finished(&mut second);
    assert_eq!((usage.prompt, usage.cached), (12, 6));
    assert_eq!(bench.batches().last().unwrap().len(), 6);
}

#[test]
fn a_busy_sequence_shares_its_prefix() {
    let mut bench = Bench::new(2, 64);
    let _first = bench.begin("system: a", 20);
    bench.scheduler.step();
    let mut second = bench.begin("system: b", 1);
    bench.run();
    assert_eq!(finished(&mut second).2.cached, 8);
    assert_eq!(bench.scheduler.evaluator.shared, [(0, 1, 8)]);
}

#[test]
fn a_dropped_stream_frees_its_slot_before_the_next_batch() {
    let mut bench = Bench::new(1, 64);
    let left = bench.begin("a", 50);
    bench.scheduler.step();
    drop(left);
    let mut next = bench.begin("x", 1);
    bench.run();
    assert_eq!(finished(&mut next).0, "y");
    assert_eq!(bench.batches().len(), 2);
    assert_eq!(bench.scheduler.counters.cancelled.load(Relaxed), 1);
}

#[test]
fn a_client_that_does_not_read_pauses_only_itself() {
    let mut bench = Bench::new(2, 64);
    let mut idle = bench.begin_with("\0", |request| request.prompt = vec![128; 1]);
    bench.run();
    let paused_at = bench.batches().len();
    assert!(paused_at < 64, "it stopped before its buffer was full: {paused_at}");
    let mut reading = bench.begin("a", 3);
    bench.run();
    assert_eq!(finished(&mut reading).0, "bcd");
    for _ in 0..10 {
        assert!(idle.next().now_or_never().flatten().is_some());
    }
    assert!(bench.scheduler.step(), "reading lets it go on");
}

#[test]
fn the_queue_is_bounded_and_draining_refuses() {
    let bench = Bench::new(1, 64);
    let _kept: Vec<_> = (0..3).map(|_| bench.begin("a", 1)).collect();
    let job = || Job { request: request("a"), adapter: None, reply: reply::channel(Arc::clone(&bench.inbox)).0 };
    assert!(matches!(bench.inbox.push(job()), Err(EngineError::Overloaded { queue: 2 })));
    assert!(bench.inbox.drain().now_or_never().is_none(), "there is something to wait for");
    assert!(matches!(bench.inbox.push(job()), Err(EngineError::Draining)));
}

#[test]
fn a_full_cache_evicts_the_idle_and_then_halves_the_batch() {
    let mut bench = Bench::new(2, 64);
    let mut first = bench.begin("old", 1);
    bench.run();
    finished(&mut first);
    bench.scheduler.evaluator.failures = [DecodeError::NoRoom, DecodeError::NoRoom].into();
    let mut second = bench.begin("newer", 1);
    bench.run();
    assert_eq!(finished(&mut second).0, "s");
    assert!(bench.scheduler.slots[0].resident.is_empty(), "the idle one is gone");
    let sizes: Vec<usize> = bench.batches().iter().map(Vec::len).collect();
    assert_eq!(sizes, [3, 5, 5, 2, 3]);
}

#[test]
fn only_the_sequence_that_breaks_fails() {
    let mut bench = Bench::new(2, 64);
    bench.scheduler.evaluator.broken = Some(1);
    let mut good = bench.begin("a", 3);
    let mut bad = bench.begin("m", 3);
    bench.run();
    let mut ends = [text(&mut good), text(&mut bad)];
    ends.sort_by_key(|(_, end)| end.is_err());
    assert!(ends[0].1.is_ok() && ends[0].0.len() == 3, "{ends:?}");
    assert_eq!(ends[1].1.as_ref().unwrap_err(), "the evaluation of the model failed");
}

#[test]
fn a_passing_failure_fails_nobody() {
    let mut bench = Bench::new(2, 64);
    let mut first = bench.begin("a", 3);
    let mut second = bench.begin("m", 3);
    bench.scheduler.step();
    bench.scheduler.evaluator.failures = [DecodeError::Broken(-2)].into();
    bench.run();
    assert_eq!((finished(&mut first).0, finished(&mut second).0), ("bcd".to_owned(), "nop".to_owned()));
}

#[test]
fn closing_fails_what_is_not_done() {
    let mut bench = Bench::new(1, 64);
    let mut active = bench.begin("a", 50);
    let mut waiting = bench.begin("b", 1);
    bench.scheduler.step();
    bench.inbox.close();
    bench.scheduler.run();
    assert_eq!(text(&mut active).1.unwrap_err(), "the worker is stopping");
    assert_eq!(text(&mut waiting).1.unwrap_err(), "the worker is stopping");
}

#[test]
fn a_window_of_all_tokens_is_no_longer_than_the_context() {
    let mut bench = Bench::new(1, 8);
    // llama.cpp takes 4 bytes a token of the window, at once: unbounded this is 8 GiB.
    let replies = bench.begin_with("ab", |request| {
        request.sampling.repeat_last_n = i32::MAX as u32;
        request.sampling.repeat_penalty = 1.1;
        request.max_tokens = Some(2);
    });
    bench.run();
    let events: Vec<_> = replies.collect::<Vec<_>>().now_or_never().unwrap();
    assert!(matches!(events.last(), Some(GenerateEvent::Finished { .. })), "{events:?}");
}
