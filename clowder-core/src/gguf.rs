//! The header of a GGUF file: what a model is and how large, read from its first bytes alone.
//!
//! Format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>, versions 2 and 3, little endian. The bytes are
//! untrusted: every length is checked before it is used, and nothing is allocated by a number the file states.

use serde::{Deserialize, Serialize};
use std::fmt;

mod cursor;
mod reader;
mod tensor;

use reader::{Reader, Stop};

/// The most bytes of header that are read; real ones, vocabulary included, are a tenth of it.
pub const MAX_HEADER: u64 = 128 << 20;

/// What a file is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GgufKind {
    /// A model, or a part of one.
    #[default]
    Model,
    /// A change of a model's weights (`general.type` is `adapter`): a LoRA adapter. It has no sizes of its own.
    Adapter,
}

impl fmt::Display for GgufKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Model => "a model",
            Self::Adapter => "a LoRA adapter",
        })
    }
}

/// What a header tells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GgufFacts {
    /// What the file is.
    pub kind: GgufKind,
    /// `general.architecture`: `llama`, `qwen3`, …
    pub architecture: String,
    /// `general.name`.
    pub name: Option<String>,
    /// Weights in all tensors of this file.
    pub parameters: u64,
    /// Bytes of all tensors of this file.
    pub weight_bytes: u64,
    /// Bytes this file must have at least: header and tensors.
    pub file_bytes: u64,
    /// The tensor type that most bytes are in: `Q4_K`, `F16`, …
    pub tensor_type: String,
    /// Tokens of context the model was trained for.
    pub context_length: u32,
    /// Layers.
    pub blocks: u32,
    /// Width of the model.
    pub embedding: u32,
    /// Width of the feed-forward part, the widest layer's.
    pub feed_forward: u32,
    /// KV elements of one token over all layers: K and V heads times their lengths.
    pub kv_elements: u64,
    /// Tokens in the vocabulary.
    pub vocabulary: u32,
    /// Files the model is split into; 1 where it is not split.
    pub shards: u32,
    /// Whether the file brings a chat template.
    pub chat_template: bool,
}

/// The outcome of reading the first bytes of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Header {
    /// The header is whole.
    Whole(Box<GgufFacts>),
    /// The header goes on beyond the bytes given: read more.
    Short,
}

/// Why a file is no usable GGUF.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GgufError {
    /// It does not begin as a GGUF does.
    #[error("the file is no GGUF: it begins with {begins:?}")]
    NotGguf {
        /// Its first bytes, made printable.
        begins: String,
    },
    /// A version that cannot be read.
    #[error("the GGUF has version {version}; versions 2 and 3 can be read")]
    UnsupportedVersion {
        /// Its version.
        version: u32,
    },
    /// A header that contradicts itself.
    #[error("the GGUF's header is damaged at byte {at}: {what}")]
    Malformed {
        /// Offset into the file.
        at: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// The header lacks what every model has.
    #[error("the GGUF's header lacks {key}")]
    Missing {
        /// Which key.
        key: String,
    },
    /// It holds something else than was asked for.
    #[error("the GGUF holds {holds}, not {wanted}")]
    OtherKind {
        /// What it holds, made printable.
        holds: String,
        /// What was wanted.
        wanted: GgufKind,
    },
    /// The file ends before its tensors do.
    #[error("the GGUF is cut off: its header promises {needed} bytes, the file has {actual}; fetch it again")]
    Truncated {
        /// Bytes it must have.
        needed: u64,
        /// Bytes it has.
        actual: u64,
    },
}

impl GgufFacts {
    /// Reads the first bytes of a file.
    ///
    /// # Errors
    /// [`GgufError`] as soon as the bytes given show that it is none.
    pub fn parse(bytes: &[u8]) -> Result<Header, GgufError> {
        match Reader::new(bytes).read() {
            Ok(facts) => Ok(Header::Whole(Box::new(facts))),
            Err(Stop::Short) if bytes.len() as u64 >= MAX_HEADER => {
                Err(GgufError::Malformed { at: MAX_HEADER, what: "the header does not end" })
            }
            Err(Stop::Short) => Ok(Header::Short),
            Err(Stop::Refused(error)) => Err(error),
        }
    }

    /// Checks that a file of `actual` bytes holds all its header promises.
    ///
    /// # Errors
    /// [`GgufError::Truncated`].
    pub fn check_size(&self, actual: u64) -> Result<(), GgufError> {
        if actual < self.file_bytes {
            return Err(GgufError::Truncated { needed: self.file_bytes, actual });
        }
        Ok(())
    }

    /// Checks that the file is what it is taken for.
    ///
    /// # Errors
    /// [`GgufError::OtherKind`].
    pub fn check_kind(&self, wanted: GgufKind) -> Result<(), GgufError> {
        if self.kind != wanted {
            return Err(GgufError::OtherKind { holds: self.kind.to_string(), wanted });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
