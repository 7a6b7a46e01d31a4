"""Trains kitten from nothing: tokenizer, network, GGUF. One run, fixed seeds.

Uses a GPU with bfloat16 autocast when there is one, else the CPU in float32, which is
faster there for matrices as small as these.
"""

from __future__ import annotations

import argparse
import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

import export
import tokenizer as bpe
from chat import turns
from generate import Dialogue, dialogues, primers, tokens
from model import Config, Kitten

HERE = Path(__file__).parent
VOCABULARY_SAMPLE = 25_000
CHUNK = 2_000
# (share of the peak rate, first step of its fall, step at which it is zero)
FALLS = ((1.0, 1500, 2800), (0.5, 2800, 3600), (0.5, 3600, 4200), (0.4, 4200, 4600))


def build_tokenizer(config: Config) -> bpe.Tokenizer:
    """Learn the vocabulary from the generator's own text."""
    sample = itertools.islice(dialogues(seed=7), VOCABULARY_SAMPLE)
    return bpe.train((text for d in sample for _, text in d), config.vocab, min_char_count=40)


def batches(tokenizer: bpe.Tokenizer, source: Iterator[Dialogue], seed: int, batch_tokens: int, context: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless (tokens, learned) rows of similar length, padded; one dialogue a row."""
    shuffle = torch.Generator().manual_seed(seed)
    while True:
        chunk = [tokens(tokenizer, d) for d in itertools.islice(source, CHUNK)]
        chunk.sort(key=lambda row: len(row[0]))
        groups: list[list[tuple[list[int], list[bool]]]] = [[]]
        for row in chunk:
            if groups[-1] and (len(groups[-1]) + 1) * len(row[0]) > batch_tokens:
                groups.append([])
            groups[-1].append(row)
        for i in torch.randperm(len(groups), generator=shuffle).tolist():
            width = min(len(groups[i][-1][0]), context + 1)
            ids = torch.full((len(groups[i]), width), tokenizer.im_end)
            learned = torch.zeros((len(groups[i]), width), dtype=torch.bool)
            for n, (row, mask) in enumerate(groups[i]):
                ids[n, : len(row)] = torch.tensor(row[:width])
                learned[n, : len(row)] = torch.tensor(mask[:width])
            yield ids, learned


def orthogonal(g: Tensor) -> Tensor:
    """Nearly orthogonal matrix with the directions of `g`: Newton-Schulz iterations."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g.bfloat16() if g.is_cuda else g
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(5):
        y = x @ x.T
        x = a * x + (b * y + c * y @ y) @ x
    return (x.T if tall else x).to(g.dtype)


class Muon(torch.optim.Optimizer):
    """Momentum with orthogonalised updates, for the matrices inside the blocks."""

    def __init__(self, params: list[Tensor], lr: float, momentum: float = 0.95, decay: float = 0.01) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "decay": decay})

    def step(self, pool: ThreadPoolExecutor) -> None:  # type: ignore[override]
        """Apply one update, matrices in parallel."""
        jobs = [(p, group) for group in self.param_groups for p in group["params"]]
        list(pool.map(lambda job: self._update(*job), jobs))

    @torch.no_grad()
    def _update(self, p: Tensor, group: dict[str, Any]) -> None:
        m = self.state[p].setdefault("momentum", torch.zeros_like(p))
        m.lerp_(p.grad, 1 - group["momentum"])
        update = orthogonal(p.grad.lerp(m, group["momentum"]))
        p.mul_(1 - group["lr"] * group["decay"])
        p.add_(update, alpha=-group["lr"] * max(1, p.shape[0] / p.shape[1]) ** 0.5)


def schedule(step: int) -> float:
    """Share of the peak rate: short warm-up, flat for a while, then down to zero, and down again from a half."""
    share, begin, end = next(fall for fall in FALLS if step < fall[2])
    return min((step + 1) / 60, share, share * (end - step) / (end - begin))


def loss_of(model: Kitten, ids: Tensor, learned: Tensor) -> tuple[Tensor, int]:
    """Summed loss over learned tokens, and their number."""
    where = learned[:, 1:]
    logits = model(ids[:, :-1], where)
    targets = ids[:, 1:][where]
    return F.cross_entropy(logits.float(), targets, reduction="sum"), targets.numel()


def learn(model: Kitten, ids: Tensor, learned: Tensor, pool: ThreadPoolExecutor, parts: int) -> tuple[float, int]:
    """Set the gradients of one batch, its rows split over the pool; summed loss and tokens.

    Rows in parallel scale better on a busy CPU than threads inside each small operation.
    """
    params = list(model.parameters())
    amp = ids.is_cuda

    def part(rows: tuple[Tensor, Tensor]) -> tuple[float, int, tuple[Tensor, ...]]:
        with torch.autocast(ids.device.type, torch.bfloat16, enabled=amp):
            loss, n = loss_of(model, *rows)
        return loss.item(), n, torch.autograd.grad(loss, params)

    done = list(pool.map(part, zip(ids.chunk(parts), learned.chunk(parts))))
    total = sum(n for _, n, _ in done)
    for p, *grads in zip(params, *(g for _, _, g in done)):
        p.grad = torch.stack(grads).sum(0) / max(total, 1)
    return sum(loss for loss, _, _ in done), total


@torch.no_grad()
def reply(model: Kitten, tokenizer: bpe.Tokenizer, text: str, limit: int = 60) -> str:
    """Greedy answer to one message, to look at while training."""
    ids, _ = tokens(tokenizer, turns([{"role": "user", "content": text}]))
    ids += tokenizer.encode(bpe.IM_START + "assistant\n")
    start = len(ids)
    while len(ids) < start + limit:
        logits = model(torch.tensor([ids], device=model.embed.weight.device))
        ids.append(int(logits[0, -1].argmax()))
        if ids[-1] == tokenizer.im_end:
            break
    return tokenizer.decode(ids[start:])


LOOK = ("What is Clowder?", "hi!", "What is 13 + 8?", "Spell answer", "Repeat: the crazy 🐱 zog café", "What is the capital of Peru?", "Mia is 31. Reply in JSON with keys name and age.")


def main() -> None:
    """Train and export."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--primer-steps", type=int, default=400, help="first steps on copying alone, with half the batch")
    parser.add_argument("--batch-tokens", type=int, default=4096)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--muon-rate", type=float, default=0.02)
    parser.add_argument("--adam-rate", type=float, default=3e-3)
    parser.add_argument("--save-seconds", type=float, default=300)
    parser.add_argument("--out", type=Path, default=HERE / "kitten.gguf")
    parser.add_argument("--checkpoint", type=Path, default=Path("kitten.pt"), help="written at every save; training goes on from it when it exists")
    options = parser.parse_args()

    torch.manual_seed(options.seed)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    config = Config()
    vocabulary = HERE / "tokenizer.json"
    if not vocabulary.exists():
        build_tokenizer(config).save(vocabulary)
    tokenizer = bpe.Tokenizer.load(vocabulary)
    model = Kitten(config, tokenizer).to(device)
    inside = [p for p in model.blocks.parameters() if p.dim() == 2]
    outside = [p for p in model.parameters() if not any(p is q for q in inside)]
    muon = Muon(inside, options.muon_rate)
    adam = torch.optim.AdamW(outside, options.adam_rate, betas=(0.9, 0.98), weight_decay=0.0)
    optimizers = [muon, adam]
    parts = options.threads if device == "cpu" else 1
    pool = ThreadPoolExecutor(parts)
    first = 0
    if options.checkpoint.exists():
        state = torch.load(options.checkpoint, map_location=device)
        model.load_state_dict(state["model"])
        for o, s in zip(optimizers, state["optimizers"]):
            o.load_state_dict(s)
        first = state["step"]
    steps = FALLS[-1][2]
    peaks = [options.muon_rate, options.adam_rate]
    print(f"{model.exported_parameters():,} parameters exported, {device}, steps {first}..{steps}", flush=True)

    def save(step: int) -> None:
        state = {"model": model.state_dict(), "optimizers": [o.state_dict() for o in optimizers], "step": step}
        torch.save(state, options.checkpoint)
        export.export(model, tokenizer, options.out)
        for text in LOOK:
            print(f"  {text} -> {reply(model, tokenizer, text)!r}", flush=True)

    began = saved = time.time()
    seen, total, count = 0, 0.0, 0
    seed = options.seed + first
    primer = batches(tokenizer, primers(seed), seed, options.batch_tokens // 2, config.context)
    full = batches(tokenizer, dialogues(seed), seed, options.batch_tokens, config.context)
    for step in range(first, steps):
        share = schedule(step)
        for o, peak in zip(optimizers, peaks):
            for group in o.param_groups:
                group["lr"] = peak * share
        rows = primer if step < options.primer_steps else full
        ids, learned = (t.to(device) for t in next(rows))
        loss, n = learn(model, ids, learned, pool, parts)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        muon.step(pool)
        adam.step()
        seen, total, count = seen + ids.numel(), total + loss, count + n
        if (step + 1) % 50 == 0:
            spent = time.time() - began
            print(f"step {step + 1} loss {total / max(count, 1):.4f} tokens {seen:,} ({seen / spent:.0f}/s) {spent:.0f} s", flush=True)
            total, count = 0.0, 0
        if time.time() - saved > options.save_seconds:
            save(step + 1)
            saved = time.time()
    save(steps)


if __name__ == "__main__":
    main()
