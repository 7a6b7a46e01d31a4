"""Writes kitten as a GGUF file: Q8_0 matrices, tokenizer and chat template inside."""

from __future__ import annotations

import os
from pathlib import Path

import gguf
import numpy as np
from gguf.quants import quantize

from chat import TEMPLATE
from model import Kitten
from tokenizer import IM_END, IM_START, Tokenizer

DESCRIPTION = "The tiny model that Clowder bundles: for tests, first runs and offline demonstrations."
VERSION = "1.0"


def token_types(tokenizer: Tokenizer) -> list[int]:
    """GGUF token type of every token."""
    kinds = gguf.TokenType
    types = [kinds.UNKNOWN] + [kinds.CONTROL] * (tokenizer.first_byte - 1)
    types += [kinds.BYTE] * 256
    types += [kinds.USER_DEFINED] * (tokenizer.first_normal - tokenizer.first_user)
    types += [kinds.NORMAL] * (len(tokenizer) - tokenizer.first_normal)
    return [int(t) for t in types]


def matrices(model: Kitten) -> dict[str, np.ndarray]:
    """Tensors under llama.cpp's names, float32."""
    named = {
        "token_embd.weight": model.embeddings(),
        "output_norm.weight": model.norm.weight,
    }
    parts = {
        "attn_norm": "attn_norm", "attn_q": "q", "attn_k": "k", "attn_v": "v", "attn_output": "o",
        "ffn_norm": "ffn_norm", "ffn_gate": "gate", "ffn_up": "up", "ffn_down": "down",
    }
    for i, block in enumerate(model.blocks):
        for theirs, ours in parts.items():
            named[f"blk.{i}.{theirs}.weight"] = getattr(block, ours).weight
    return {k: v.detach().float().cpu().numpy() for k, v in named.items()}


def export(model: Kitten, tokenizer: Tokenizer, path: Path) -> None:
    """Write the GGUF beside `path` and rename it into place."""
    c = model.config
    draft = path.with_suffix(".gguf.part")
    w = gguf.GGUFWriter(draft, "llama")
    w.add_type("model")
    w.add_name("kitten")
    w.add_author("The Clowder authors")
    w.add_version(VERSION)
    w.add_description(DESCRIPTION)
    w.add_license("apache-2.0")
    w.add_size_label(f"{model.exported_parameters() / 1e6:.1f}M")
    w.add_languages(["en", "fr", "es", "de", "zh"])
    w.add_tags(["text-generation", "clowder"])
    w.add_context_length(c.context)
    w.add_embedding_length(c.dim)
    w.add_block_count(c.layers)
    w.add_feed_forward_length(c.hidden)
    w.add_head_count(c.heads)
    w.add_head_count_kv(c.kv_heads)
    w.add_key_length(c.head_dim)
    w.add_value_length(c.head_dim)
    w.add_rope_dimension_count(c.head_dim)
    w.add_rope_freq_base(c.rope_base)
    w.add_layer_norm_rms_eps(c.eps)
    w.add_vocab_size(c.vocab)
    w.add_file_type(int(gguf.LlamaFileType.MOSTLY_Q8_0))
    w.add_quantization_version(gguf.GGML_QUANT_VERSION)
    w.add_tokenizer_model("llama")
    w.add_tokenizer_pre("default")
    w.add_token_list([p.encode() for p in tokenizer.pieces])
    w.add_token_scores([tokenizer.score(i) for i in range(len(tokenizer))])
    w.add_token_types(token_types(tokenizer))
    w.add_unk_token_id(0)
    w.add_bos_token_id(tokenizer.ids[IM_START])
    w.add_eos_token_id(tokenizer.ids[IM_END])
    w.add_eot_token_id(tokenizer.ids[IM_END])
    w.add_pad_token_id(tokenizer.ids[IM_END])
    w.add_add_bos_token(False)
    w.add_add_eos_token(False)
    w.add_add_space_prefix(False)
    w.add_chat_template(TEMPLATE)
    for name, data in matrices(model).items():
        if data.ndim == 2:
            kind = gguf.GGMLQuantizationType.Q8_0
            w.add_tensor(name, quantize(data, kind), raw_dtype=kind)
        else:
            w.add_tensor(name, data)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    os.replace(draft, path)
