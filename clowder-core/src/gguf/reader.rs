//! Reading a header from its beginning, whatever the file holds.

use super::cursor::{self, Cursor, Scalar, Short};
use super::{GgufError, GgufFacts, GgufKind, MAX_HEADER, tensor};

const MAX_ENTRIES: u64 = 1 << 16;
const MAX_TENSORS: u64 = 1 << 20;

/// Why reading ended early.
pub(super) enum Stop {
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
    /// `adapter.type`, and whether `adapter.lora.alpha` is the float that it must be.
    adapter: Option<String>,
    alpha: bool,
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

pub(super) struct Reader<'a> {
    cursor: Cursor<'a>,
    facts: GgufFacts,
    keys: Keys,
}

impl<'a> Reader<'a> {
    /// At the beginning of a file.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            cursor: Cursor::new(bytes),
            facts: GgufFacts { shards: 1, ..GgufFacts::default() },
            keys: Keys::default(),
        }
    }

    fn malformed(&self, what: &'static str) -> Stop {
        Stop::Refused(GgufError::Malformed { at: self.cursor.position(), what })
    }

    /// All of the header.
    pub(super) fn read(mut self) -> Result<GgufFacts, Stop> {
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
        match self.facts.kind {
            GgufKind::Model => self.conclude()?,
            GgufKind::Adapter => self.conclude_adapter()?,
        }
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
            "general.name" => self.facts.name = Some(readable()),
            "general.type" if value == b"adapter" => self.facts.kind = GgufKind::Adapter,
            "adapter.type" => self.keys.adapter = Some(readable()),
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
            "adapter.lora.alpha" => self.keys.alpha = matches!(value, Scalar::Single),
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

    /// Each key that is asked for must be of its own type: llama.cpp ends the process where one is not.
    fn conclude_adapter(&self) -> Result<(), Stop> {
        let missing = |key: &str| Err(GgufError::Missing { key: key.to_owned() }.into());
        match self.keys.adapter.as_deref() {
            Some("lora") if self.keys.alpha => Ok(()),
            Some("lora") => missing("adapter.lora.alpha"),
            Some(other) => {
                Err(GgufError::OtherKind { holds: format!("a {other} adapter"), wanted: GgufKind::Adapter }.into())
            }
            None => missing("adapter.type"),
        }
    }

    fn conclude(&mut self) -> Result<(), Stop> {
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
