//! How a worker runs its model.

use crate::source::Digest;
use crate::url::ModelUrl;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// The number format of the KV cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KvType {
    /// 32-bit floats, 4 bytes an element.
    F32,
    /// 16-bit floats, 2 bytes an element.
    #[default]
    F16,
    /// Blocks of 32 in 34 bytes.
    #[serde(rename = "q8_0")]
    Q8_0,
    /// Blocks of 32 in 18 bytes.
    #[serde(rename = "q4_0")]
    Q4_0,
}

impl KvType {
    /// Bytes that `elements` numbers take, blocks rounded up.
    pub fn bytes(self, elements: u64) -> u64 {
        match self {
            Self::F32 => elements.saturating_mul(4),
            Self::F16 => elements.saturating_mul(2),
            Self::Q8_0 => elements.div_ceil(32).saturating_mul(34),
            Self::Q4_0 => elements.div_ceil(32).saturating_mul(18),
        }
    }
}

impl fmt::Display for KvType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Q8_0 => "q8_0",
            Self::Q4_0 => "q4_0",
        })
    }
}

/// A text that names no [`KvType`].
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("take f16, f32, q8_0 or q4_0")]
pub struct InvalidKvType;

impl FromStr for KvType {
    type Err = InvalidKvType;

    fn from_str(text: &str) -> Result<Self, InvalidKvType> {
        [Self::F32, Self::F16, Self::Q8_0, Self::Q4_0]
            .into_iter()
            .find(|kv_type| kv_type.to_string() == text)
            .ok_or(InvalidKvType)
    }
}

/// How a worker runs its model. `None` leaves the choice to the worker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EngineSettings {
    /// Tokens of context of one request; `None` takes the model's trained context, at most
    /// [`EngineSettings::DEFAULT_CONTEXT`].
    pub context: Option<u32>,
    /// Requests generated at the same time; [`EngineSettings::DEFAULT_SLOTS`] when `None`.
    pub slots: Option<u32>,
    /// Number format of the KV cache.
    pub kv_type: KvType,
    /// Threads of the matrix kernels; `None` takes the machine's physical cores.
    pub threads: Option<u32>,
    /// Layers kept on an accelerator; `None` takes all that a build with an accelerator can.
    pub gpu_layers: Option<u32>,
    /// A smaller model that guesses ahead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub draft: Option<Draft>,
    /// Further settings of llama.cpp, as [`Setting::parse`](super::Setting::parse) takes them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub extra: BTreeMap<String, String>,
}

/// A model that guesses the next tokens of another, which evaluates all guesses at once and keeps those that it would have
/// chosen itself (speculative decoding, Leviathan et al. 2023): the same output, sooner.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    /// Where its bytes come from: a GGUF file with the vocabulary of the model it guesses for.
    pub source: ModelUrl,
    /// What the bytes must hash to; `None` trusts the source's own digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// The most tokens guessed at once; [`Draft::DEFAULT_TOKENS`] when `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u32>,
}

impl Draft {
    /// Tokens guessed at once where nothing is said.
    pub const DEFAULT_TOKENS: u32 = 8;
    /// The most tokens guessed at once.
    pub const MOST_TOKENS: u32 = 64;

    /// Guesses of the model from `source`, everything else left to Clowder.
    pub fn new(source: ModelUrl) -> Self {
        Self { source, digest: None, tokens: None }
    }

    /// Tokens guessed at once, in effect.
    pub fn tokens(&self) -> u32 {
        self.tokens.unwrap_or(Self::DEFAULT_TOKENS).clamp(1, Self::MOST_TOKENS)
    }
}

impl EngineSettings {
    /// Slots where nothing is said.
    pub const DEFAULT_SLOTS: u32 = 4;
    /// The longest context where nothing is said, in tokens: what memory a larger one takes is asked for, not assumed.
    pub const DEFAULT_CONTEXT: u32 = 8192;

    /// The least context: a token of prompt and one of output.
    pub const LEAST_CONTEXT: u32 = 2;
    /// The most slots: llama.cpp keeps no more sequences apart.
    pub const MOST_SLOTS: u32 = 256;
    /// The most threads.
    pub const MOST_THREADS: u32 = 1024;

    /// Slots in effect.
    pub fn slots(&self) -> u32 {
        self.slots.unwrap_or(Self::DEFAULT_SLOTS).max(1)
    }

    /// Context in effect, in tokens of one request, for a model trained at `trained` tokens.
    pub fn context(&self, trained: u32) -> u32 {
        self.context.unwrap_or_else(|| trained.min(Self::DEFAULT_CONTEXT)).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kv_types_are_spelled_one_way() {
        for kv_type in [KvType::F32, KvType::F16, KvType::Q8_0, KvType::Q4_0] {
            assert_eq!(kv_type.to_string().parse(), Ok(kv_type));
        }
        assert_eq!("q5".parse::<KvType>(), Err(InvalidKvType));
    }

    #[test]
    fn kv_bytes_round_blocks_up() {
        assert_eq!(KvType::F16.bytes(33), 66);
        assert_eq!(KvType::Q8_0.bytes(33), 68);
        assert_eq!(KvType::Q4_0.bytes(64), 36);
    }

    #[test]
    fn context_defaults_to_the_trained_one_within_reason() {
        let settings = EngineSettings::default();
        assert_eq!(settings.context(2048), 2048);
        assert_eq!(settings.context(131_072), EngineSettings::DEFAULT_CONTEXT);
        let asked = EngineSettings { context: Some(100_000), ..settings };
        assert_eq!(asked.context(131_072), 100_000);
    }
}
