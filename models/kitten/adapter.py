"""Writes a LoRA adapter for kitten that was never trained: random changes, for tests of what serves adapters."""

import sys
from pathlib import Path

import gguf
import numpy as np

KITTEN = Path(__file__).with_name("kitten.gguf")
RANK = 4


def write(path: Path, strength: float, seed: int = 0) -> None:
    """Write to `path`; a strength of 0 changes nothing, one of 1 makes another model of it."""
    random = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(RANK))
    for tensor in gguf.GGUFReader(KITTEN).tensors:
        if not tensor.name.endswith(("attn_q.weight", "attn_v.weight")):
            continue
        inputs, outputs = (int(side) for side in tensor.shape)
        # Each in the order of NumPy, which GGUF reads backwards: what it multiplies comes last.
        writer.add_tensor(f"{tensor.name}.lora_a", random.normal(size=(RANK, inputs)).astype(np.float32))
        changes = random.normal(size=(outputs, RANK)) * strength / inputs**0.5
        writer.add_tensor(f"{tensor.name}.lora_b", changes.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    write(Path(sys.argv[1]), float(sys.argv[2]))
