//! A prompt as a chain of hashes: two prompts share as many blocks as they share text from their beginning.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::LazyLock;

/// Bytes of a block at most. A part of the prompt (the tools, one message) ends its block, so that a conversation that
/// grows by a message matches all of what it was.
const BLOCK_BYTES: usize = 1024;
/// The most blocks of a prompt that are told apart; what comes after them decides no routing any more.
const MAX_BLOCKS: usize = 1024;

/// Keyed by chance, so that no client can make prompts collide. A collision would only misroute.
static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// The beginning of a prompt, up to the end of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Hash of all text up to its end.
    pub hash: u64,
    /// Bytes up to its end.
    pub end: u32,
}

/// A prompt's chain of blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint {
    blocks: Vec<Block>,
}

impl Fingerprint {
    /// The blocks, from the prompt's beginning.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Bytes of the prompt that the blocks cover.
    pub fn bytes(&self) -> u32 {
        self.blocks.last().map_or(0, |block| block.end)
    }
}

/// Makes a [`Fingerprint`] of a prompt's parts, in order.
pub struct FingerprintBuilder {
    hasher: std::hash::DefaultHasher,
    end: u32,
    blocks: Vec<Block>,
}

impl FingerprintBuilder {
    /// A prompt for this model: prompts of different models share nothing.
    pub fn new(model: &str) -> Self {
        let mut hasher = KEY.build_hasher();
        hasher.write(model.as_bytes());
        hasher.write_u8(0xff);
        Self { hasher, end: 0, blocks: Vec::new() }
    }

    /// The next part, whole.
    pub fn part(&mut self, bytes: &[u8]) {
        for block in bytes.chunks(BLOCK_BYTES).take(MAX_BLOCKS - self.blocks.len()) {
            self.hasher.write(block);
            self.hasher.write_u8(0xff);
            self.end += block.len() as u32;
            self.blocks.push(Block { hash: self.hasher.finish(), end: self.end });
        }
    }

    /// The fingerprint.
    pub fn finish(self) -> Fingerprint {
        Fingerprint { blocks: self.blocks }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fingerprint(model: &str, parts: &[Vec<u8>]) -> Fingerprint {
        let mut builder = FingerprintBuilder::new(model);
        parts.iter().for_each(|part| builder.part(part));
        builder.finish()
    }

    #[test]
    fn models_share_nothing() {
        let parts = [b"hello".to_vec()];
        assert_ne!(fingerprint("a", &parts), fingerprint("b", &parts));
    }

    #[test]
    fn long_prompts_are_cut_off() {
        let prompt = fingerprint("a", &[vec![b'x'; 3 * MAX_BLOCKS * BLOCK_BYTES]]);
        assert_eq!(prompt.blocks().len(), MAX_BLOCKS);
    }

    proptest! {
        #[test]
        fn a_longer_conversation_begins_with_the_shorter_one(
            parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..3000), 0..6),
            more in proptest::collection::vec(any::<u8>(), 1..3000),
        ) {
            let short = fingerprint("m", &parts);
            let mut longer = parts.clone();
            longer.push(more.clone());
            let long = fingerprint("m", &longer);
            prop_assert!(long.blocks().starts_with(short.blocks()));
            prop_assert_eq!(long.bytes() as usize, longer.iter().map(Vec::len).sum::<usize>());
            let mut other = longer.clone();
            other.last_mut().unwrap()[0] ^= 1;
            let other = fingerprint("m", &other);
            prop_assert_ne!(long.blocks().last(), other.blocks().last());
        }
    }
}
