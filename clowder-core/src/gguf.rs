//! The header of a GGUF file: what a model is and how large, read from its first bytes alone.
//!
//! Format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>, versions 2 and 3, little endian. The bytes are
//! untrusted: every length is checked before it is used, and nothing is allocated by a number the file states.

use serde::{Deserialize, Serialize};

mod cursor;
mod tensor;

use cursor::{Cursor, Scalar, Short};

/// The most bytes of header that are read; real ones, vocabulary included, are a tenth of it.
pub const MAX_HEADER: u64 = 128 << 20;

const MAX_ENTRIES: u64 = 1 << 16;
const MAX_TENSORS: u64 = 1 << 20;

/// What a file is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GgufKind {
    /// A model, or a part of one.
    #[default]
    Model,
    /// A change of a model's weights (`general.type` is `adapter`); it has no sizes of its own.
    Adapter,
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
}

enum Stop {
    Short,
    Refused(GgufError),
}

impl From<Short> for Stop {
    fn from(_: Short) -> Self {
        Self::Short
    }
}

impl From<GgufError> for Stop {
    fn from(error: GgufError) -> Self {
        Self::Refused(error)
    }
}

/// Numbers of the header that are kept until all of it is read.
#[derive(Default)]
struct Keys {
    alignment: Option<u64>,
    heads: PerLayer,
    kv_heads: PerLayer,
    key_length: Option<u64>,
    value_length: Option<u64>,
    vocabulary: Option<u64>,
    tokens: Option<u64>,
}

/// A number that some models give once and others for every layer.
#[derive(Default)]
struct PerLayer {
    one: Option<u64>,
    sum: Option<u64>,
    max: u64,
}

impl PerLayer {
    fn total(&self, layers: u64) -> Option<u64> {
        self.sum.or_else(|| self.one.map(|one| one.saturating_mul(layers)))
    }

    fn most(&self) -> Option<u64> {
        self.one.or_else(|| self.sum.map(|_| self.max))
    }
}

struct Reader<'a> {
    cursor: Cursor<'a>,
    facts: GgufFacts,
    keys: Keys,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self {
            cursor: Cursor::new(bytes),
            facts: GgufFacts { shards: 1, ..GgufFacts::default() },
            keys: Keys::default(),
        }
    }

    fn malformed(&self, what: &'static str) -> Stop {
        Stop::Refused(GgufError::Malformed { at: self.cursor.position(), what })
    }

    fn read(mut self) -> Result<GgufFacts, Stop> {
        self.magic()?;
        let version = self.cursor.u32()?;
        if !(2..=3).contains(&version) {
            return Err(GgufError::UnsupportedVersion { version }.into());
        }
        let tensors = self.cursor.u64()?;
        let entries = self.cursor.u64()?;
        if tensors > MAX_TENSORS || entries > MAX_ENTRIES {
            return Err(self.malformed("more tensors or keys than any model has"));
        }
        for _ in 0..entries {
            self.entry()?;
        }
        if self.facts.architecture.is_empty() {
            return Err(GgufError::Missing { key: "general.architecture".to_owned() }.into());
        }
        self.tensors(tensors)?;
        self.conclude()?;
        Ok(self.facts)
    }

    fn magic(&mut self) -> Result<(), Stop> {
        let begins = self.cursor.peek(4);
        if !b"GGUF".starts_with(&begins[..begins.len().min(4)]) {
            let begins = begins.escape_ascii().to_string();
            return Err(GgufError::NotGguf { begins }.into());
        }
        self.cursor.skip(4)?;
        Ok(())
    }

    fn entry(&mut self) -> Result<(), Stop> {
        let key = self.text(1 << 16)?.to_owned();
        let kind = self.cursor.u32()?;
        match kind {
            cursor::STRING => {
                let value = self.cursor.string()?;
                self.text_entry(&key, value);
            }
            cursor::ARRAY => self.array_entry(&key)?,
            scalar => {
                let value = self.cursor.scalar(scalar)?.ok_or_else(|| self.malformed("a value of no known type"))?;
                self.number_entry(&key, value);
            }
        }
        Ok(())
    }

    fn text(&mut self, most: usize) -> Result<&'a str, Stop> {
        let bytes = self.cursor.string()?;
        if bytes.len() > most {
            return Err(self.malformed("a name longer than any is"));
        }
        std::str::from_utf8(bytes).map_err(|_| self.malformed("a name that is not UTF-8"))
    }

    fn text_entry(&mut self, key: &str, value: &[u8]) {
        let readable =
            || String::from_utf8_lossy(value).chars().filter(|c| !c.is_control()).take(200).collect::<String>();
        match key {
            "general.architecture" => self.facts.architecture = readable(),
            "general.type" if value == b"adapter" => self.facts.kind = GgufKind::Adapter,
            "general.name" => self.facts.name = Some(readable()),
            "tokenizer.chat_template" => self.facts.chat_template = !value.is_empty(),
            _ => {}
        }
    }

    /// The part of a key after the architecture: `llama.context_length` is `context_length`.
    fn model_key<'k>(&self, key: &'k str) -> Option<&'k str> {
        key.strip_prefix(self.facts.architecture.as_str())?.strip_prefix('.')
    }

    fn number_entry(&mut self, key: &str, value: Scalar) {
        let number = value.unsigned();
        match key {
            "general.alignment" => self.keys.alignment = number,
            "split.count" => self.facts.shards = narrow(number).max(1),
            _ => match self.model_key(key) {
                Some("context_length") => self.facts.context_length = narrow(number),
                Some("block_count") => self.facts.blocks = narrow(number),
                Some("embedding_length") => self.facts.embedding = narrow(number),
                Some("feed_forward_length") => self.facts.feed_forward = narrow(number),
                Some("vocab_size") => self.keys.vocabulary = number,
                Some("attention.head_count") => self.keys.heads.one = number,
                Some("attention.head_count_kv") => self.keys.kv_heads.one = number,
                Some("attention.key_length") => self.keys.key_length = number,
                Some("attention.value_length") => self.keys.value_length = number,
                _ => {}
            },
        }
    }

    fn array_entry(&mut self, key: &str) -> Result<(), Stop> {
        let kind = self.cursor.u32()?;
        let count = self.cursor.u64()?;
        if key == "tokenizer.ggml.tokens" {
            self.keys.tokens = Some(count);
        }
        if count > MAX_HEADER {
            return Err(self.malformed("an array longer than any is"));
        }
        match kind {
            cursor::STRING => {
                for _ in 0..count {
                    self.cursor.string()?;
                }
            }
            cursor::ARRAY => return Err(self.malformed("an array of arrays")),
            scalar => {
                let width = cursor::width(scalar).ok_or_else(|| self.malformed("an array of no known type"))?;
                match self.model_key(key).map(str::to_owned).as_deref() {
                    Some("attention.head_count") => self.keys.heads = self.per_layer(scalar, count)?,
                    Some("attention.head_count_kv") => self.keys.kv_heads = self.per_layer(scalar, count)?,
                    Some("feed_forward_length") => {
                        self.facts.feed_forward = narrow(Some(self.per_layer(scalar, count)?.max));
                    }
                    _ => self.cursor.skip(count.saturating_mul(width))?,
                }
            }
        }
        Ok(())
    }

    fn per_layer(&mut self, kind: u32, count: u64) -> Result<PerLayer, Stop> {
        let mut numbers = PerLayer { sum: Some(0), ..PerLayer::default() };
        for _ in 0..count {
            let number = self.cursor.scalar(kind)?.and_then(Scalar::unsigned).unwrap_or(0);
            numbers.sum = numbers.sum.map(|sum| sum.saturating_add(number));
            numbers.max = numbers.max.max(number);
        }
        Ok(numbers)
    }

    fn tensors(&mut self, count: u64) -> Result<(), Stop> {
        let alignment = self.keys.alignment.unwrap_or(32);
        if !alignment.is_power_of_two() || alignment > 1 << 20 {
            return Err(self.malformed("general.alignment is no power of two"));
        }
        let mut data_end = 0_u64;
        let mut by_type = std::collections::BTreeMap::<&'static str, u64>::new();
        for _ in 0..count {
            self.text(1 << 12)?;
            let dimensions = self.cursor.u32()?;
            if !(1..=4).contains(&dimensions) {
                return Err(self.malformed("a tensor of no or more than four dimensions"));
            }
            let mut elements = 1_u64;
            for _ in 0..dimensions {
                elements = elements
                    .checked_mul(self.cursor.u64()?)
                    .ok_or_else(|| self.malformed("a tensor larger than any memory"))?;
            }
            let kind = tensor::kind(self.cursor.u32()?).ok_or_else(|| self.malformed("a tensor of an unknown type"))?;
            let bytes = kind.bytes(elements).ok_or_else(|| self.malformed("a tensor larger than any memory"))?;
            let end = self.cursor.u64()?.checked_add(bytes);
            data_end = data_end.max(end.ok_or_else(|| self.malformed("a tensor beyond any file"))?);
            self.facts.parameters = self.facts.parameters.saturating_add(elements);
            self.facts.weight_bytes = self.facts.weight_bytes.saturating_add(bytes);
            let of_type = by_type.entry(kind.name).or_default();
            *of_type = of_type.saturating_add(bytes);
        }
        let data_begin = self.cursor.position().next_multiple_of(alignment);
        self.facts.file_bytes = if count == 0 { self.cursor.position() } else { data_begin.saturating_add(data_end) };
        let (main, _) = by_type.into_iter().max_by_key(|&(_, bytes)| bytes).unwrap_or_default();
        main.clone_into(&mut self.facts.tensor_type);
        Ok(())
    }

    fn conclude(&mut self) -> Result<(), Stop> {
        if self.facts.kind == GgufKind::Adapter {
            return Ok(());
        }
        let layers = u64::from(self.facts.blocks);
        let missing = |key: &str| GgufError::Missing { key: format!("{}.{key}", self.facts.architecture) };
        if layers == 0 {
            return Err(missing("block_count").into());
        }
        if self.facts.embedding == 0 {
            return Err(missing("embedding_length").into());
        }
        let heads = self.keys.heads.most().filter(|&heads| heads > 0);
        let head_length = heads.map_or(0, |heads| u64::from(self.facts.embedding) / heads);
        let key_length = self.keys.key_length.unwrap_or(head_length);
        let value_length = self.keys.value_length.unwrap_or(head_length);
        let kv_heads = self.keys.kv_heads.total(layers).or_else(|| self.keys.heads.total(layers)).unwrap_or(0);
        self.facts.kv_elements = kv_heads.saturating_mul(key_length.saturating_add(value_length));
        self.facts.vocabulary = narrow(self.keys.tokens.or(self.keys.vocabulary));
        Ok(())
    }
}

fn narrow(number: Option<u64>) -> u32 {
    number.map_or(0, |number| u32::try_from(number).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests;
