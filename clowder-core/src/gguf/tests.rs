use super::*;
use proptest::prelude::*;

/// Writes the little a header needs.
#[derive(Clone)]
struct Writer {
    entries: Vec<Vec<u8>>,
    tensors: Vec<Vec<u8>>,
}

impl Writer {
    fn llama() -> Self {
        let mut writer = Self { entries: vec![], tensors: vec![] };
        writer.text("general.architecture", "llama");
        for (key, value) in [
            ("llama.context_length", 2048),
            ("llama.block_count", 2),
            ("llama.embedding_length", 64),
            ("llama.feed_forward_length", 128),
            ("llama.attention.head_count", 4),
            ("llama.attention.head_count_kv", 2),
        ] {
            writer.number(key, value);
        }
        writer
    }

    fn string(text: &str) -> Vec<u8> {
        [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
    }

    fn text(&mut self, key: &str, value: &str) {
        self.entries.push([Self::string(key), 8_u32.to_le_bytes().to_vec(), Self::string(value)].concat());
    }

    fn number(&mut self, key: &str, value: u32) {
        self.entries.push([Self::string(key), 4_u32.to_le_bytes().to_vec(), value.to_le_bytes().to_vec()].concat());
    }

    /// A LoRA adapter of one tensor pair.
    fn adapter() -> Self {
        let mut writer = Self { entries: vec![], tensors: vec![] };
        for (key, value) in [("general.architecture", "llama"), ("general.type", "adapter"), ("adapter.type", "lora")] {
            writer.text(key, value);
        }
        writer.float("adapter.lora.alpha", 16.0);
        writer.tensor("blk.0.attn_q.weight.lora_a", &[64, 4], 0, 0);
        writer.tensor("blk.0.attn_q.weight.lora_b", &[4, 64], 0, 1024);
        writer
    }

    fn float(&mut self, key: &str, value: f32) {
        self.entries.push([Self::string(key), 6_u32.to_le_bytes().to_vec(), value.to_le_bytes().to_vec()].concat());
    }

    fn array(&mut self, key: &str, values: &[u32]) {
        let mut entry = [Self::string(key), 9_u32.to_le_bytes().to_vec(), 4_u32.to_le_bytes().to_vec()].concat();
        entry.extend((values.len() as u64).to_le_bytes());
        entry.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        self.entries.push(entry);
    }

    fn tensor(&mut self, name: &str, shape: &[u64], kind: u32, offset: u64) {
        let mut tensor = Self::string(name);
        tensor.extend((shape.len() as u32).to_le_bytes());
        tensor.extend(shape.iter().flat_map(|side| side.to_le_bytes()));
        tensor.extend(kind.to_le_bytes());
        tensor.extend(offset.to_le_bytes());
        self.tensors.push(tensor);
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(3_u32.to_le_bytes());
        bytes.extend((self.tensors.len() as u64).to_le_bytes());
        bytes.extend((self.entries.len() as u64).to_le_bytes());
        bytes.extend(self.entries.concat());
        bytes.extend(self.tensors.concat());
        bytes
    }
}

fn whole(bytes: &[u8]) -> GgufFacts {
    match GgufFacts::parse(bytes) {
        Ok(Header::Whole(facts)) => *facts,
        other => panic!("{other:?}"),
    }
}

#[test]
fn reads_what_sizing_needs() {
    let mut writer = Writer::llama();
    writer.array("tokenizer.ggml.token_type", &[1, 1, 1]);
    writer.tensor("token_embd.weight", &[64, 100], 8, 0);
    writer.tensor("output_norm.weight", &[64], 0, 6816);
    let bytes = writer.bytes();
    let facts = whole(&bytes);
    assert_eq!(facts.architecture, "llama");
    assert_eq!(facts.parameters, 6464);
    assert_eq!(facts.weight_bytes, 6400 / 32 * 34 + 256);
    assert_eq!(facts.file_bytes, (bytes.len() as u64).next_multiple_of(32) + 6816 + 256);
    assert_eq!(facts.tensor_type, "Q8_0");
    assert_eq!(facts.kv_elements, 2 * 2 * (16 + 16));
    assert_eq!(facts.check_size(facts.file_bytes), Ok(()));
    assert!(matches!(facts.check_size(100), Err(GgufError::Truncated { actual: 100, .. })));
}

#[test]
fn an_adapter_is_told_from_a_model() {
    let facts = whole(&Writer::adapter().bytes());
    assert_eq!((facts.architecture.as_str(), facts.weight_bytes, facts.blocks), ("llama", 2048, 0));
    assert_eq!(facts.check_kind(GgufKind::Adapter), Ok(()));
    let as_model = facts.check_kind(GgufKind::Model).unwrap_err();
    assert_eq!(as_model.to_string(), "the GGUF holds a LoRA adapter, not a model");
    assert!(whole(&Writer::llama().bytes()).check_kind(GgufKind::Adapter).is_err());
    for (at, key) in [(2, "adapter.type"), (3, "adapter.lora.alpha")] {
        let mut writer = Writer::adapter();
        writer.entries.remove(at);
        let missing = Err(GgufError::Missing { key: key.to_owned() });
        assert_eq!(GgufFacts::parse(&writer.bytes()), missing);
        // A key of another type is as good as none.
        writer.number(key, 1);
        assert_eq!(GgufFacts::parse(&writer.bytes()), missing);
    }
    let mut writer = Writer::adapter();
    writer.entries.remove(2);
    writer.text("adapter.type", "control");
    assert!(matches!(GgufFacts::parse(&writer.bytes()), Err(GgufError::OtherKind { .. })));
}

#[test]
fn sizes_beyond_any_file_saturate() {
    let mut writer = Writer::llama();
    for _ in 0..5 {
        writer.tensor("x", &[1 << 62], 24, 0);
    }
    assert_eq!(whole(&writer.bytes()).weight_bytes, u64::MAX);
}

#[test]
fn heads_may_differ_by_layer() {
    let mut writer = Writer::llama();
    writer.array("llama.attention.head_count_kv", &[4, 0]);
    assert_eq!(whole(&writer.bytes()).kv_elements, 4 * 32);
}

#[test]
fn a_prefix_is_short_never_wrong() {
    let mut writer = Writer::llama();
    writer.tensor("token_embd.weight", &[64, 100], 8, 0);
    let bytes = writer.bytes();
    for end in 0..bytes.len() {
        assert_eq!(GgufFacts::parse(&bytes[..end]), Ok(Header::Short), "{end}");
    }
}

#[test]
fn what_is_no_model_is_refused() {
    let refused = |bytes: &[u8]| GgufFacts::parse(bytes).unwrap_err();
    assert!(matches!(refused(b"<!DOCTYPE html>"), GgufError::NotGguf { begins } if begins == "<!DO"));
    assert!(matches!(refused(b"GGUF\x01\0\0\0"), GgufError::UnsupportedVersion { version: 1 }));
    let mut writer = Writer::llama();
    writer.tensor("x", &[u64::MAX, 2], 0, 0);
    assert!(matches!(refused(&writer.bytes()), GgufError::Malformed { .. }));
    let mut writer = Writer::llama();
    writer.tensor("x", &[1], 0, u64::MAX);
    assert!(matches!(refused(&writer.bytes()), GgufError::Malformed { .. }));
    let mut writer = Writer::llama();
    writer.entries.remove(2);
    assert_eq!(refused(&writer.bytes()), GgufError::Missing { key: "llama.block_count".to_owned() });
    let mut writer = Writer::llama();
    writer.number("general.alignment", 3);
    assert!(matches!(refused(&writer.bytes()), GgufError::Malformed { .. }));
}

proptest! {
    #[test]
    fn damaged_bytes_never_panic(adapter: bool, at in 0_usize..400, value: u8, length in 0_usize..600) {
        let mut writer = if adapter { Writer::adapter() } else { Writer::llama() };
        writer.array("llama.attention.head_count_kv", &[4, 2]);
        writer.tensor("token_embd.weight", &[64, 100], 8, 0);
        let mut bytes = writer.bytes();
        bytes.truncate(length);
        if let Some(byte) = bytes.get_mut(at) {
            *byte = value;
        }
        let _ = GgufFacts::parse(&bytes);
    }
}
