//! Writes LoRA adapters for the bundled model.

use std::io::Write;
use tempfile::NamedTempFile;

/// The rank of all adapters here.
const RANK: u64 = 4;

/// The width of the bundled model, its layers, and how many values a head of queries takes.
const WIDTH: u64 = 256;
const LAYERS: u64 = 4;

/// An adapter as it is written; [`Lora::of_kitten`] is one that fits.
pub(crate) struct Lora {
    pub(crate) architecture: &'static str,
    pub(crate) width: u64,
    /// The largest value of what is multiplied last; 0 changes nothing.
    pub(crate) strength: f32,
}

impl Lora {
    pub(crate) fn of_kitten(strength: f32) -> Self {
        Self { architecture: "llama", width: WIDTH, strength }
    }

    pub(crate) fn write(&self) -> NamedTempFile {
        let mut file = NamedTempFile::with_suffix(".gguf").unwrap();
        file.write_all(&self.bytes()).unwrap();
        file
    }

    fn bytes(&self) -> Vec<u8> {
        let mut entries = Vec::new();
        for (key, value) in
            [("general.architecture", self.architecture), ("general.type", "adapter"), ("adapter.type", "lora")]
        {
            entries.extend([string(key), 8_u32.to_le_bytes().to_vec(), string(value)].concat());
        }
        entries.extend([string("adapter.lora.alpha"), 6_u32.to_le_bytes().to_vec()].concat());
        entries.extend((RANK as f32).to_le_bytes());

        let (mut infos, mut data) = (Vec::new(), Vec::new());
        for layer in 0..LAYERS {
            for (side, shape, strength) in [("a", [self.width, RANK], 1.0), ("b", [RANK, self.width], self.strength)] {
                infos.extend(string(&format!("blk.{layer}.attn_q.weight.lora_{side}")));
                infos.extend(2_u32.to_le_bytes());
                infos.extend(shape.map(u64::to_le_bytes).concat());
                infos.extend(0_u32.to_le_bytes());
                infos.extend((data.len() as u64).to_le_bytes());
                // Any numbers do, as long as they are always the same.
                let value = |at: u64| (((at * 7919 + layer * 131) % 1009) as f32 / 504.5 - 1.0) * strength;
                data.extend((0..shape[0] * shape[1]).flat_map(|at| value(at).to_le_bytes()));
            }
        }
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(3_u32.to_le_bytes());
        bytes.extend((LAYERS * 2).to_le_bytes());
        bytes.extend(4_u64.to_le_bytes());
        bytes.extend(entries);
        bytes.extend(infos);
        bytes.resize(bytes.len().next_multiple_of(32), 0);
        bytes.extend(data);
        bytes
    }
}

fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}
