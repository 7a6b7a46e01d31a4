//! Requests for different adapters at the same time.

use super::*;

fn begin(bench: &Bench, prompt: &str, adapter: Option<usize>, most: u32) -> Replies {
    bench.begin_request(GenerateRequest { max_tokens: Some(most), ..request(prompt) }, adapter)
}

#[test]
fn each_adapter_has_a_batch_of_its_own_and_all_go_on_in_each_step() {
    let mut bench = Bench::new(4, 64);
    let mut plain = begin(&bench, "a", None, 3);
    let mut first = begin(&bench, "a", Some(0), 3);
    let mut also_plain = begin(&bench, "m", None, 3);
    let mut second = begin(&bench, "a", Some(1), 3);
    bench.run();
    let texts = [&mut plain, &mut first, &mut also_plain, &mut second].map(|replies| finished(replies).0);
    assert_eq!(texts, ["bcd", "ceg", "nop", "dgj"]);
    let evaluator = &bench.scheduler.evaluator;
    let batches: Vec<_> = evaluator.batches.iter().map(Vec::len).zip(evaluator.adapters.iter().copied()).collect();
    assert_eq!(batches[..3], [(2, None), (1, Some(0)), (1, Some(1))]);
    // The one that is in effect goes on first, so that a step changes it once less.
    assert_eq!(batches[3..6], [(1, Some(1)), (2, None), (1, Some(0))]);
    assert_eq!(batches.len(), 9);
}

#[test]
fn the_kv_of_one_adapter_is_of_no_use_to_another() {
    let mut bench = Bench::new(2, 64);
    finished_alone(&mut bench, "hello", None);
    let (text, cached) = finished_alone(&mut bench, "hello there", Some(0));
    assert_eq!((text.as_str(), cached), ("g", 0));
    let (_, cached) = finished_alone(&mut bench, "hello you", Some(0));
    assert_eq!(cached, 6);
    let (_, cached) = finished_alone(&mut bench, "hello", None);
    assert_eq!(cached, 4, "what the model itself evaluated is still there");
}

fn finished_alone(bench: &mut Bench, prompt: &str, adapter: Option<usize>) -> (String, u32) {
    let mut replies = begin(bench, prompt, adapter, 1);
    bench.run();
    let (text, _, usage) = finished(&mut replies);
    (text, usage.cached)
}

#[test]
fn a_batch_that_fails_fails_those_of_its_adapter_alone() {
    let mut bench = Bench::new(2, 64);
    bench.scheduler.evaluator.broken = Some(1);
    let mut good = begin(&bench, "a", None, 3);
    let mut bad = begin(&bench, "a", Some(0), 3);
    bench.run();
    let mut ends = [text(&mut good), text(&mut bad)];
    ends.sort_by_key(|(_, end)| end.is_err());
    assert!(ends[0].1.is_ok() && ends[0].0.len() == 3, "{ends:?}");
    assert!(ends[1].1.is_err(), "{ends:?}");
}
