//! What a draft model guesses, and what becomes of it.

use super::*;
use proptest::prelude::*;

/// One request alone: its text, how it ended and what it took.
fn alone(bench: &mut Bench, change: impl FnOnce(&mut GenerateRequest)) -> (String, FinishReason, Usage) {
    let mut replies = bench.begin_with("a", change);
    bench.run();
    finished(&mut replies)
}

fn wrong_after(text: &str) -> Alphabet {
    Alphabet { wrong_after: text.bytes().map(Token::from).collect(), ..Alphabet::default() }
}

#[test]
fn right_guesses_come_in_one_batch() {
    let mut bench = Bench::drafted(1, 64, 4, Alphabet::default());
    let (text, reason, usage) = alone(&mut bench, |request| request.max_tokens = Some(11));
    assert_eq!((text.as_str(), reason), ("bcdefghijkl", FinishReason::Length));
    assert_eq!((usage.completion, usage.drafted, usage.accepted), (11, 8, 8));
    // The prompt alone; then a token and four guesses, twice.
    let sizes: Vec<usize> = bench.batches().iter().map(Vec::len).collect();
    assert_eq!(sizes, [5, 5, 1]);
    assert!(bench.batches()[1].iter().all(|&(.., output)| output), "logits of each guess");
    let load = bench.scheduler.counters.load(0, 0);
    assert_eq!((load.drafted_tokens, load.accepted_tokens, load.completion_tokens), (8, 8, 11));
}

#[test]
fn a_wrong_guess_and_those_after_it_leave_the_cache() {
    let mut bench = Bench::drafted(1, 64, 4, wrong_after("c"));
    let (text, _, usage) = alone(&mut bench, |request| request.max_tokens = Some(3));
    assert_eq!((text.as_str(), usage.drafted, usage.accepted), ("bcd", 2, 2));
    let mut bench = Bench::drafted(1, 64, 4, wrong_after("c"));
    let mut replies = bench.begin("a", 10);
    bench.scheduler.step();
    assert_eq!(bench.scheduler.evaluator.cache[&0], "abc".bytes().map(Token::from).collect::<Vec<_>>());
    assert_eq!(bench.scheduler.slots[0].resident.len(), 3);
    bench.run();
    assert_eq!(finished(&mut replies).0, "bcdefghijk");
}

#[test]
fn what_the_draft_model_is_not_sure_of_is_not_guessed() {
    let draft = Alphabet { unsure_after: vec![Token::from(b'c')], ..Alphabet::default() };
    let mut bench = Bench::drafted(1, 64, 4, draft);
    let mut replies = bench.begin("a", 4);
    bench.scheduler.step();
    assert_eq!(bench.batches()[0].len(), 3, "a, and the guesses b and c");
    bench.run();
    assert_eq!(finished(&mut replies).0, "bcde");
}

#[test]
fn output_ends_where_it_does_without_a_draft() {
    let end = |draft: Option<Alphabet>, change: &dyn Fn(&mut GenerateRequest)| {
        let mut bench = draft.map_or_else(|| Bench::new(1, 64), |draft| Bench::drafted(1, 64, 8, draft));
        let (text, reason, usage) = alone(&mut bench, change);
        let cache = bench.scheduler.evaluator.cache[&0].clone();
        assert_eq!(cache, bench.scheduler.slots[0].resident, "what is resident is what is in the cache");
        (text, reason, usage.completion)
    };
    let changes: [&dyn Fn(&mut GenerateRequest); 5] = [
        &|request| request.max_tokens = Some(1),
        &|request| request.stop = vec!["fg".to_owned()],
        &|request| request.prompt = vec![Token::from(b'v')],
        &|request| {
            request.prompt = vec![Token::from(b'w')];
            request.ignore_eos = true;
            request.max_tokens = Some(10);
        },
        &|request| {
            request.sampling.presence_penalty = 2.0;
            request.sampling.repeat_last_n = 4;
            request.logprobs = Some(2);
        },
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let expected = end(None, change);
        for draft in [Alphabet::default(), wrong_after("cdk"), wrong_after("abcdefghijklmnopqrstuvwxyz")] {
            assert_eq!(end(Some(draft), change), expected, "{number}");
        }
    }
}

#[test]
fn probabilities_are_those_of_the_model() {
    let mut bench = Bench::drafted(1, 64, 4, wrong_after("c"));
    let mut replies = bench.begin_with("a", |request| {
        request.max_tokens = Some(6);
        request.logprobs = Some(1);
    });
    bench.run();
    let mut reported = Vec::new();
    while let Some(Some(event)) = replies.next().now_or_never() {
        if let GenerateEvent::Output { logprobs, .. } = event {
            reported.extend(logprobs.into_iter().map(|token| (token.bytes, token.top[0].0.clone())));
        }
    }
    let expected: Vec<_> = "bcdefg".bytes().map(|byte| (vec![byte], vec![byte])).collect();
    assert_eq!(reported, expected);
}

#[test]
fn sequences_are_guessed_for_together() {
    let mut bench = Bench::drafted(3, 64, 4, Alphabet::default());
    let mut replies = [bench.begin("a", 6), bench.begin("k", 6), bench.begin("system: f", 6)];
    bench.run();
    let texts = replies.each_mut().map(|replies| finished(replies).0);
    assert_eq!(texts, ["bcdefg", "lmnopq", "ghijkl"]);
    let together = bench.scheduler.drafter.as_mut().unwrap().evaluator().batches.iter();
    let together = together.filter(|batch| batch.iter().any(|row| row.2 == 0) && batch.iter().any(|row| row.2 == 1));
    assert!(together.count() >= 4);
}

#[test]
fn the_draft_model_reads_only_what_is_new_to_it() {
    let mut bench = Bench::drafted(2, 64, 4, Alphabet::default());
    let mut first = bench.begin("hello", 4);
    bench.run();
    assert_eq!(finished(&mut first).0, "pqrs");
    bench.scheduler.drafter.as_mut().unwrap().evaluator().batches.clear();
    let mut second = bench.begin("hellopqrs more", 4);
    bench.run();
    finished(&mut second);
    let read = &bench.scheduler.drafter.as_mut().unwrap().evaluator().batches;
    // It has read "hellop" and its own guess "q"; the answer's first token comes after the prompt's 14.
    assert_eq!(read[0].len(), 15 - 7, "{read:?}");
}

#[test]
fn a_beginning_that_another_sequence_has_is_shared_in_the_draft_model_too() {
    let mut bench = Bench::drafted(2, 64, 4, Alphabet::default());
    let system = "a long beginning that both of them have: ";
    let _first = bench.begin(&format!("{system}a"), 20);
    bench.scheduler.step();
    bench.scheduler.step();
    let mut second = bench.begin(&format!("{system}k"), 2);
    bench.run();
    assert_eq!(finished(&mut second).0, "lm");
    let shared = &bench.scheduler.drafter.as_mut().unwrap().evaluator().shared;
    assert_eq!(shared[..], [(0, 1, 41)]);
}

#[test]
fn a_draft_model_that_breaks_is_gone_on_without() {
    let mut bench = Bench::drafted(1, 64, 4, Alphabet::default());
    let mut replies = bench.begin("a", 20);
    bench.scheduler.step();
    bench.scheduler.drafter.as_mut().unwrap().evaluator().failures = [DecodeError::Broken(-3)].into();
    bench.run();
    assert_eq!(finished(&mut replies).0, "bcdefghijklmnopqrstu");
    assert!(bench.scheduler.drafter.is_none());
}

#[test]
fn guesses_go_before_a_batch_is_halved() {
    let mut bench = Bench::drafted(1, 64, 4, Alphabet::default());
    bench.scheduler.evaluator.failures = [DecodeError::NoRoom].into();
    let mut replies = bench.begin("a", 6);
    bench.run();
    assert_eq!(finished(&mut replies).0, "bcdefg");
    let sizes: Vec<usize> = bench.batches().iter().map(Vec::len).collect();
    assert_eq!(sizes[..2], [5, 1]);
}

#[test]
fn a_client_that_does_not_read_gets_no_more_than_its_buffer_takes() {
    let mut bench = Bench::drafted(1, 64, 8, Alphabet::default());
    let mut replies = bench.begin_with("", |request| request.prompt = vec![128]);
    bench.run();
    let generated = |bench: &Bench| bench.scheduler.counters.completion_tokens.load(Relaxed);
    assert!((50..63).contains(&generated(&bench)), "{}", generated(&bench));
    // The last events come only now; none was lost.
    let first = replies.next().now_or_never().flatten();
    assert!(matches!(first, Some(GenerateEvent::Output { .. })));
    for _ in 0..9 {
        replies.next().now_or_never().flatten().unwrap();
    }
    bench.run();
    let (output, _) = text(&mut replies);
    assert_eq!((generated(&bench), output.chars().count()), (63, 53));
}

proptest! {
    #[test]
    fn a_draft_changes_nothing_but_the_batches(
        prompts in prop::collection::vec("[a-y]{1,20}", 1..4),
        wrong in prop::collection::vec(0_u32..256, 0..40),
        unsure in prop::collection::vec(0_u32..256, 0..40),
        seed: u32,
        batch in 8_usize..64,
        tokens in 1_usize..10,
    ) {
        let run = |mut bench: Bench| {
            let begin = |prompt: &String| bench.begin_with(prompt, |request| {
                request.max_tokens = Some(40);
                request.sampling.temperature = 3.0;
                request.sampling.repeat_penalty = 1.2;
                request.sampling.seed = Some(seed);
            });
            // A channel takes 64 events, and 40 tokens are fewer.
            let mut replies: Vec<_> = prompts.iter().map(begin).collect();
            bench.run();
            replies.iter_mut().map(finished).map(|(text, reason, _)| (text, reason)).collect::<Vec<_>>()
        };
        let draft = Alphabet { wrong_after: wrong, unsure_after: unsure, ..Alphabet::default() };
        prop_assert_eq!(run(Bench::drafted(3, batch, tokens, draft)), run(Bench::new(3, batch)));
    }
}
