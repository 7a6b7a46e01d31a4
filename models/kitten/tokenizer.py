"""Byte-fallback BPE tokenizer of kitten, in the form llama.cpp calls "llama" (SPM).

Every piece has a score; encoding merges the adjacent pair whose joined text is the
best scored piece, leftmost first, until nothing merges. Characters that are no piece
fall back to their UTF-8 bytes. Pieces never mix letters with anything else, and a space
never sticks to a word: a word therefore has the same tokens wherever it stands, which is
what makes verbatim copying learnable for a tiny model. Digits pair up from the left, so a
number below 100 is one token, which is what makes small arithmetic learnable.
"""

from __future__ import annotations

import heapq
import json
import re
from collections import Counter
from pathlib import Path
from typing import Iterable

SPACE = "\u2581"  # how SPM vocabularies write a space
IM_START = "<|im_start|>"
IM_END = "<|im_end|>"
TOOL_OPEN = "<tool_call>"
TOOL_CLOSE = "</tool_call>"
CONTROL = ("<unk>", IM_START, IM_END)
USER_DEFINED = (TOOL_OPEN, TOOL_CLOSE)

# Runs inside which pieces may merge: letters, digits, or anything else.
RUN = re.compile(r"[^\W\d_]+|\d+|(?:[^\w]|_)+")
SPECIAL = re.compile("(" + "|".join(map(re.escape, CONTROL[1:] + USER_DEFINED)) + ")")
MAX_PUNCTUATION = 4
NUMBERS = [str(n) for n in range(10, 100)]


def merge_by_score(symbols: list[str], scores: dict[str, float]) -> list[str]:
    """Merge adjacent symbols, best scored piece first, as llama.cpp's SPM does."""
    left = list(range(-1, len(symbols) - 1))
    right = list(range(1, len(symbols) + 1))
    alive = list(symbols)
    queue: list[tuple[float, int, int, str]] = []

    def push(a: int, b: int) -> None:
        if a >= 0 and b < len(alive):
            joined = alive[a] + alive[b]
            if joined in scores:
                heapq.heappush(queue, (-scores[joined], a, b, joined))

    for i in range(len(symbols) - 1):
        push(i, i + 1)
    while queue:
        _, a, b, joined = heapq.heappop(queue)
        if not alive[a] or not alive[b] or alive[a] + alive[b] != joined:
            continue
        alive[a], alive[b] = joined, ""
        right[a] = right[b]
        if right[b] < len(alive):
            left[right[b]] = a
        push(left[a], a)
        push(a, right[a])
    return [s for s in alive if s]


class Tokenizer:
    """Encodes and decodes text; `pieces[i]` is the text of token i."""

    def __init__(self, pieces: list[str]) -> None:
        self.pieces = pieces
        self.ids = {piece: i for i, piece in enumerate(pieces)}
        self.first_byte = len(CONTROL)
        self.first_user = self.first_byte + 256
        self.first_normal = self.first_user + len(USER_DEFINED)
        self.scores = {p: self.score(i) for i, p in enumerate(pieces) if i >= self.first_normal}
        self.im_start = self.ids[IM_START]
        self.im_end = self.ids[IM_END]
        self._cache: dict[str, list[int]] = {}

    def __len__(self) -> int:
        return len(self.pieces)

    def score(self, token: int) -> float:
        """Score of a token: the earlier a piece was learned, the higher; numbers are all alike."""
        level = token < self.first_normal or self.pieces[token] in NUMBERS
        return 0.0 if level else -float(token - self.first_normal)

    def encode(self, text: str, special: bool = True) -> list[int]:
        """Token ids of a text; `special` recognises the control tokens in it."""
        if not special:
            return self._encode_plain(text)
        ids: list[int] = []
        for part in SPECIAL.split(text):
            ids += [self.ids[part]] if part in self.ids and SPECIAL.fullmatch(part) else self._encode_plain(part)
        return ids

    def _encode_plain(self, text: str) -> list[int]:
        ids: list[int] = []
        for run in RUN.findall(text):
            known = self._cache.get(run)
            if known is None:
                known = self._encode_run(run.replace(" ", SPACE))
                if len(self._cache) < 500_000:
                    self._cache[run] = known
            ids += known
        return ids

    def _encode_run(self, run: str) -> list[int]:
        ids: list[int] = []
        for piece in merge_by_score(list(run), self.scores):
            if piece in self.scores:
                ids.append(self.ids[piece])
            else:
                ids += [self.first_byte + b for b in piece.encode()]
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """Text of tokens, control tokens left out, broken UTF-8 replaced."""
        out = bytearray()
        for i in ids:
            if self.first_byte <= i < self.first_user:
                out.append(i - self.first_byte)
            elif i >= self.first_user:
                out += self.pieces[i].replace(SPACE, " ").encode()
        return out.decode(errors="replace")

    def save(self, path: Path) -> None:
        """Write the pieces as JSON."""
        path.write_text(json.dumps(self.pieces, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "Tokenizer":
        """Read the pieces that `save` wrote."""
        return cls(json.loads(path.read_text(encoding="utf-8")))


def train(texts: Iterable[str], size: int, min_char_count: int = 20) -> Tokenizer:
    """Learn a vocabulary of `size` pieces from texts by byte-pair merging."""
    runs: Counter[str] = Counter()
    for text in texts:
        for part in SPECIAL.split(text):
            if not SPECIAL.fullmatch(part):
                runs.update(r.replace(" ", SPACE) for r in RUN.findall(part))
    chars: Counter[str] = Counter()
    for run, count in runs.items():
        for c in run:
            chars[c] += count
    printable = [SPACE, "\n"] + [chr(c) for c in range(33, 127)]
    alphabet = printable + sorted(
        c for c, n in chars.items() if n >= min_char_count and c not in printable
    )
    base = list(CONTROL) + [f"<0x{b:02X}>" for b in range(256)] + list(USER_DEFINED) + alphabet + NUMBERS
    known = set(alphabet)
    words = [([c for c in run], n) for run, n in runs.items() if all(c in known for c in run) and len(run) > 1 and not run.isdigit()]
    pairs: Counter[tuple[str, str]] = Counter()
    where: dict[tuple[str, str], set[int]] = {}
    for i, (symbols, n) in enumerate(words):
        for pair in zip(symbols, symbols[1:]):
            pairs[pair] += n
            where.setdefault(pair, set()).add(i)
    merges: list[str] = []
    while len(base) + len(merges) < size and pairs:
        best, count = max(pairs.items(), key=lambda kv: (kv[1], kv[0]))
        if count < 2:
            break
        joined = best[0] + best[1]
        if not joined.isalpha() and len(joined) > MAX_PUNCTUATION:
            del pairs[best]
            continue
        if joined not in known:
            known.add(joined)
            merges.append(joined)
        for i in where.pop(best):
            symbols, n = words[i]
            for pair in zip(symbols, symbols[1:]):
                pairs[pair] -= n
                if pairs[pair] <= 0:
                    del pairs[pair]
            merged: list[str] = []
            for s in symbols:
                if merged and (merged[-1], s) == best:
                    merged[-1] = joined
                else:
                    merged.append(s)
            symbols[:] = merged
            for pair in zip(symbols, symbols[1:]):
                pairs[pair] += n
                where.setdefault(pair, set()).add(i)
        pairs.pop(best, None)
    return Tokenizer(base + merges)
