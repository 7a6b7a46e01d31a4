//! The chain of samplers of one generation.

use super::model::to_c_int;
use clowder_core::engine::{Sampling, Token};
use llama_cpp_sys_2 as sys;
use std::ptr::NonNull;

/// Room for the candidates of one choice, kept between choices.
#[derive(Default)]
pub(crate) struct Candidates(Vec<sys::llama_token_data>);

/// Chooses tokens, by llama.cpp's samplers in llama-server's order.
pub(crate) struct Sampler {
    /// `None` takes the likeliest token.
    chain: Option<NonNull<sys::llama_sampler>>,
    remembers: bool,
}

// SAFETY: a chain is bound to no thread; all that uses it takes `&mut self`, and it is not `Sync`.
unsafe impl Send for Sampler {}

impl Sampler {
    /// A chain for a vocabulary of so many tokens. Biases of tokens outside of it are left out.
    pub(crate) fn new(sampling: &Sampling, vocabulary: u32, seed: u32) -> Self {
        let penalizes = sampling.repeat_last_n > 0
            && (sampling.repeat_penalty != 1.0
                || sampling.presence_penalty != 0.0
                || sampling.frequency_penalty != 0.0);
        let biases: Vec<_> = sampling
            .logit_bias
            .iter()
            .filter(|(token, _)| *token < vocabulary)
            .map(|&(token, bias)| sys::llama_logit_bias { token: to_c_int(token), bias })
            .collect();
        // Logits divided by less than this are infinite and no order any more; not a number is no temperature either.
        let greedy = sampling.temperature.is_nan() || sampling.temperature < 1e-4;
        if greedy && !penalizes && biases.is_empty() {
            return Self { chain: None, remembers: false };
        }
        // SAFETY: makes an empty chain from a plain struct.
        let chain = unsafe { sys::llama_sampler_chain_init(sys::llama_sampler_chain_params { no_perf: true }) };
        let Some(chain) = NonNull::new(chain) else {
            return Self { chain: None, remembers: false };
        };
        let words = to_c_int(vocabulary);
        let add = |sampler: *mut sys::llama_sampler| {
            if !sampler.is_null() {
                // SAFETY: the chain is alive and takes ownership of a sampler that is in no other.
                unsafe { sys::llama_sampler_chain_add(chain.as_ptr(), sampler) };
            }
        };
        // SAFETY: constructors that take numbers, the biases being copied from a slice that outlives the call. Every bias
        // is of a token inside the vocabulary.
        unsafe {
            if !biases.is_empty() {
                let count = i32::try_from(biases.len()).unwrap_or(0);
                add(sys::llama_sampler_init_logit_bias(words, count, biases.as_ptr()));
            }
            if penalizes {
                add(sys::llama_sampler_init_penalties(
                    words,
                    to_c_int(sampling.repeat_last_n),
                    sampling.repeat_penalty,
                    sampling.frequency_penalty,
                    sampling.presence_penalty,
                ));
            }
            if greedy {
                add(sys::llama_sampler_init_greedy());
            } else {
                if sampling.top_k > 0 {
                    add(sys::llama_sampler_init_top_k(to_c_int(sampling.top_k)));
                }
                if sampling.typical_p < 1.0 {
                    add(sys::llama_sampler_init_typical(sampling.typical_p, 1));
                }
                if sampling.top_p < 1.0 {
                    add(sys::llama_sampler_init_top_p(sampling.top_p, 1));
                }
                if sampling.min_p > 0.0 {
                    add(sys::llama_sampler_init_min_p(sampling.min_p, 1));
                }
                add(sys::llama_sampler_init_temp(sampling.temperature));
                add(sys::llama_sampler_init_dist(seed));
            }
        }
        Self { chain: Some(chain), remembers: penalizes }
    }

    /// Chooses the next token from a row of logits and remembers it.
    pub(crate) fn choose(&mut self, logits: &[f32], candidates: &mut Candidates) -> Token {
        let Some(chain) = self.chain else {
            return likeliest(logits);
        };
        let data = &mut candidates.0;
        data.clear();
        data.extend((0_i32..).zip(logits).map(|(id, &logit)| sys::llama_token_data { id, logit, p: 0.0 }));
        let mut array =
            sys::llama_token_data_array { data: data.as_mut_ptr(), size: data.len(), selected: -1, sorted: false };
        // SAFETY: the chain is alive; the array describes `data`, which outlives the call and is not used otherwise
        // meanwhile.
        unsafe { sys::llama_sampler_apply(chain.as_ptr(), &raw mut array) };
        let chosen = usize::try_from(array.selected).ok().filter(|index| *index < array.size);
        // SAFETY: a sampler may point the array elsewhere, but always at `size` initialised entries.
        let chosen = chosen.map(|index| unsafe { (*array.data.add(index)).id });
        let token = chosen.and_then(|id| u32::try_from(id).ok()).unwrap_or_else(|| likeliest(logits));
        self.remember(token);
        token
    }

    /// Counts a token as seen, for penalties.
    pub(crate) fn remember(&mut self, token: Token) {
        if let (Some(chain), true) = (self.chain, self.remembers) {
            // SAFETY: the chain is alive; penalties, the only samplers here that remember, take any token.
            unsafe { sys::llama_sampler_accept(chain.as_ptr(), to_c_int(token)) };
        }
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        if let Some(chain) = self.chain {
            // SAFETY: made by llama.cpp, freed once; it frees the samplers it owns.
            unsafe { sys::llama_sampler_free(chain.as_ptr()) };
        }
    }
}

fn likeliest(logits: &[f32]) -> Token {
    let best = logits
        .iter()
        .enumerate()
        .fold((0, f32::NEG_INFINITY), |best, (index, &logit)| if logit > best.1 { (index, logit) } else { best });
    u32::try_from(best.0).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(sampling: &Sampling, logits: &[f32]) -> Token {
        Sampler::new(sampling, u32::try_from(logits.len()).unwrap(), 7).choose(logits, &mut Candidates::default())
    }

    #[test]
    fn greedy_takes_the_likeliest_and_biases_count() {
        let greedy = Sampling { temperature: 0.0, ..Sampling::default() };
        assert_eq!(choose(&greedy, &[0.0, 3.0, 1.0]), 1);
        let biased = Sampling { logit_bias: vec![(1, -100.0), (9, 100.0)], ..greedy };
        assert_eq!(choose(&biased, &[0.0, 3.0, 1.0]), 2);
    }

    #[test]
    fn top_k_of_one_is_greedy_at_any_temperature() {
        let sampling = Sampling { top_k: 1, temperature: 5.0, ..Sampling::default() };
        assert_eq!(choose(&sampling, &[0.0, 0.1, 0.2]), 2);
    }

    #[test]
    fn penalties_look_at_what_was_remembered() {
        let sampling = Sampling { temperature: 0.0, presence_penalty: 2.0, ..Sampling::default() };
        let mut sampler = Sampler::new(&sampling, 3, 0);
        let mut candidates = Candidates::default();
        let logits = [1.0, 2.0, 0.0];
        assert_eq!(sampler.choose(&logits, &mut candidates), 1);
        assert_eq!(sampler.choose(&logits, &mut candidates), 0);
    }

    #[test]
    fn a_seed_repeats_itself() {
        let sampling = Sampling { temperature: 1.5, ..Sampling::default() };
        let logits: Vec<f32> = (0..50).map(|i| (i % 7) as f32 / 3.0).collect();
        let run = |seed| -> Vec<Token> {
            let mut sampler = Sampler::new(&sampling, 50, seed);
            let mut candidates = Candidates::default();
            (0..20).map(|_| sampler.choose(&logits, &mut candidates)).collect()
        };
        assert_eq!(run(3), run(3));
        assert_ne!(run(3), run(4));
    }
}
