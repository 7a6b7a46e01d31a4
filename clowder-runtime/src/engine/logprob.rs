//! Probabilities out of logits.

use clowder_core::engine::{Token, TokenLogprob};

/// The natural logarithm of a token's probability and the `top` likeliest tokens with theirs, before any sampling
/// parameter.
pub(crate) fn logprob(
    logits: &[f32],
    token: Token,
    top: usize,
    mut piece: impl FnMut(Token) -> Vec<u8>,
) -> TokenLogprob {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&logit| f64::from(logit - highest).exp()).sum();
    let normal = f64::from(highest) + sum.ln();
    let of = |logit: f32| (f64::from(logit) - normal) as f32;
    let mut order: Vec<usize> = Vec::new();
    if top > 0 {
        order.extend(0..logits.len());
        let higher = |a: &usize, b: &usize| logits[*b].total_cmp(&logits[*a]).then(a.cmp(b));
        if top < order.len() {
            order.select_nth_unstable_by(top, higher);
            order.truncate(top);
        }
        order.sort_unstable_by(higher);
    }
    TokenLogprob {
        bytes: piece(token),
        logprob: logits.get(token as usize).map_or(f32::NEG_INFINITY, |&logit| of(logit)),
        top: order.into_iter().map(|index| (piece(index as Token), of(logits[index]))).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_sum_to_one_and_come_in_order() {
        let logits = [1.0, 3.0, 2.0, -50.0];
        let all = logprob(&logits, 2, 4, |token| vec![token as u8]);
        let order: Vec<u8> = all.top.iter().map(|(bytes, _)| bytes[0]).collect();
        assert_eq!(order, [1, 2, 0, 3]);
        let sum: f32 = all.top.iter().map(|(_, logprob)| logprob.exp()).sum();
        assert!((sum - 1.0).abs() < 1e-5);
        assert_eq!(all.logprob, all.top[1].1);
        assert_eq!(logprob(&logits, 0, 2, |_| Vec::new()).top.len(), 2);
        assert!(logprob(&logits, 0, 0, |_| Vec::new()).top.is_empty());
    }
}
