"""The network: a llama-shaped decoder with tied, character-aware embeddings.

The embedding of a token is a free vector plus one learned vector per (position, character)
of its text. The sum is folded into one plain matrix at export, so llama.cpp sees an
ordinary llama model; training gains letters that all tokens share, which spelling needs.
The same matrix reads and writes tokens, so a copying head works for every token at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tokenizer import SPACE, Tokenizer

MAX_LETTERS = 12


@dataclass(frozen=True)
class Config:
    """Shape of the network."""

    vocab: int = 3072
    dim: int = 256
    layers: int = 4
    heads: int = 8
    kv_heads: int = 4
    hidden: int = 768
    context: int = 2048
    rope_base: float = 10000.0
    eps: float = 1e-5

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.dim // self.heads


def letter_lists(tokenizer: Tokenizer) -> tuple[Tensor, int]:
    """Letter features of each token, (vocab, 2 MAX_LETTERS), padded with the number of features, which is second."""
    letters: dict[str, int] = {}
    rows: list[list[int]] = []
    for i, piece in enumerate(tokenizer.pieces):
        text = piece.replace(SPACE, " ") if i >= tokenizer.first_user else ""
        features = [f for n, c in enumerate(text[:MAX_LETTERS]) for f in (f"{n}{c}", f"lower{n}{c.lower()}")]
        rows.append([letters.setdefault(f, len(letters)) for f in features])
    lists = torch.full((len(rows), 2 * MAX_LETTERS), len(letters))
    for i, row in enumerate(rows):
        lists[i, : len(row)] = torch.tensor(row, dtype=torch.long)
    return lists, len(letters)


def rope_tables(config: Config) -> tuple[Tensor, Tensor]:
    """Cosines and sines, (context, head_dim / 2)."""
    step = torch.arange(0, config.head_dim, 2, dtype=torch.float32) / config.head_dim
    angles = torch.outer(torch.arange(config.context, dtype=torch.float32), config.rope_base**-step)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding on adjacent pairs, llama.cpp's "normal" rope."""
    a, b = x.unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2)


class Block(nn.Module):
    """One transformer layer."""

    def __init__(self, c: Config) -> None:
        super().__init__()
        self.c = c
        self.attn_norm = nn.RMSNorm(c.dim, eps=c.eps)
        self.ffn_norm = nn.RMSNorm(c.dim, eps=c.eps)
        self.q = nn.Linear(c.dim, c.dim, bias=False)
        self.k = nn.Linear(c.dim, c.kv_heads * c.head_dim, bias=False)
        self.v = nn.Linear(c.dim, c.kv_heads * c.head_dim, bias=False)
        self.o = nn.Linear(c.dim, c.dim, bias=False)
        self.gate = nn.Linear(c.dim, c.hidden, bias=False)
        self.up = nn.Linear(c.dim, c.hidden, bias=False)
        self.down = nn.Linear(c.hidden, c.dim, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Attention, then the gated feed-forward."""
        c = self.c
        h = self.attn_norm(x)
        q = self.q(h).unflatten(-1, (c.heads, -1)).transpose(1, 2)
        k = self.k(h).unflatten(-1, (c.kv_heads, -1)).transpose(1, 2)
        v = self.v(h).unflatten(-1, (c.kv_heads, -1)).transpose(1, 2)
        q, k = rotate(q, cos, sin).to(v.dtype), rotate(k, cos, sin).to(v.dtype)
        group = c.heads // c.kv_heads
        k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        a = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.o(a.transpose(1, 2).flatten(-2))
        h = self.ffn_norm(x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))


class Kitten(nn.Module):
    """The whole network."""

    def __init__(self, config: Config, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.config = config
        lists, features = letter_lists(tokenizer)
        self.register_buffer("lists", lists, persistent=False)
        self.embed = nn.Embedding(config.vocab, config.dim)
        self.letters = nn.Embedding(features + 1, config.dim)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.RMSNorm(config.dim, eps=config.eps)
        cos, sin = rope_tables(config)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        for name, p in self.named_parameters():
            if p.dim() == 2:
                nn.init.normal_(p, std=0.02)
            if name.endswith(("o.weight", "down.weight")):
                nn.init.normal_(p, std=0.02 / (2 * config.layers) ** 0.5)

    def embeddings(self) -> Tensor:
        """The folded embedding matrix, (vocab, dim)."""
        padding = self.letters.num_embeddings - 1
        return self.embed.weight + F.embedding_bag(self.lists, self.letters.weight, mode="sum", padding_idx=padding)

    def forward(self, tokens: Tensor, wanted: Tensor | None = None) -> Tensor:
        """Logits of a batch of token rows, only at the wanted places if given."""
        matrix = self.embeddings()
        x = F.embedding(tokens, matrix)
        cos, sin = self.cos[: tokens.shape[1]], self.sin[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x, cos, sin)
        x = self.norm(x)
        return F.linear(x if wanted is None else x[wanted], matrix)

    def exported_parameters(self) -> int:
        """Number of parameters llama.cpp sees."""
        hidden = sum(p.numel() for p in self.blocks.parameters())
        return hidden + self.config.vocab * self.config.dim + self.config.dim
