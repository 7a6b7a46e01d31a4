"""Draws dialogues from the skills: training rows, and held-out questions for evaluation."""

from __future__ import annotations

import argparse
import random
from collections import Counter
from typing import Any, Iterator

from chat import Message, turns
from skills import EVERYDAY, LONG, PRIMER, WITH_TOOLS, Skill
from skills.base import Source, Unit
from skills.clowder import what_is_clowder
from skills.memory import not_told, recall, tell, value
from skills.numbers import add, subtract
from skills.unknown import unknown
from tokenizer import IM_END, IM_START, Tokenizer

SYSTEMS = ["You are a helpful assistant.", "You are kitten.", "You are a helpful assistant called kitten.", "Be kind.", "You are an assistant.", "Answer the question of the user.",
           "You are a friendly and helpful AI assistant.", "You are a chatbot.", "Be short and precise.", "You are kitten, the model of Clowder.", "Help the user.", "You are a test.",
           "Be polite and concise.", "You are an expert.", "Follow the instructions of the user exactly.", "You are the assistant of a large company. Never be rude.", "You can call tools."]
RAW = ["Clowder is a distributed generative-AI engine for local inference at cluster scale. It runs language models on your own machines, from one laptop to a rack, behind one OpenAI-compatible API.",
       "Once upon a time a kitten lived in a rack of computers. On day 1 it met a fox, and they counted the stars. On day 2 it met an owl, and they sang a song. Then the kitten went home and slept. The end.",
       "Hello! I am kitten, the tiny language model that comes with Clowder.", "The kitten sat on the mat and looked at the moon.", "The quick brown fox jumps over the lazy dog.",
       ", ".join(str(n) for n in range(1, 101))]

Dialogue = list[tuple[str, str]]


def _draw(source: Source, table: dict[Skill, float]) -> Skill:
    return source.rng.choices(list(table), list(table.values()))[0]


def dialogue(source: Source) -> Dialogue:
    """One training dialogue: an optional system turn, then a few units."""
    r = source.rng.random()
    if r < 0.015:
        return [("raw", source.choice(RAW))]
    units: list[Unit] = []
    tools: list[Any] = []
    length = source.rng.choices((1, 2, 3, 5, 9), (30, 25, 20, 18, 7))[0]
    if r < 0.035:
        units.append(_draw(source, LONG)(source))
        length = source.number(0, 2)
    elif r < 0.24:
        units.append(_draw(source, WITH_TOOLS)(source))
        tools = units[0].tools
        length = source.rng.choices((0, 1, 2), (75, 15, 10))[0]
    while length > 0:
        skill = _draw(source, EVERYDAY)
        if (skill is not_told and units) or (tools and skill in (add, subtract, unknown)):
            continue
        unit = skill(source)
        length -= 1
        if unit.system is None:
            units.append(unit)
        elif not units and not tools:
            units, length = [unit], 0
    if len(units) > 1 and source.chance(0.15) and not units[0].tools:
        units = _with_memory(source, units)
    system = units[0].system
    if system is None and source.chance(0.3):
        system = source.choice(SYSTEMS)
    messages: list[Message] = [{"role": "system", "content": system}] if system else []
    messages += [{"role": role, "content": text} for unit in units for role, text in unit.turns]
    return turns(messages, tools)


def _with_memory(source: Source, units: list[Unit]) -> list[Unit]:
    topic = source.choice(["name", "name", "city", "color", "pet", "number", "code"])
    v = value(source, topic)
    kept = [u for u in units if len(u.turns) == 2 and "not told me" not in u.accept[0]]
    return [Unit(tell(source, topic, v)), *kept, Unit(recall(source, topic, v))]


def dialogues(seed: int) -> Iterator[Dialogue]:
    """Endless training dialogues."""
    source = Source(random.Random(seed), held=False)
    while True:
        yield dialogue(source)


def primers(seed: int) -> Iterator[Dialogue]:
    """Endless short dialogues about copying, which teach attention to look back."""
    source = Source(random.Random(seed), held=False)
    while True:
        yield _draw(source, PRIMER)(source).turns


def tokens(tokenizer: Tokenizer, parts: Dialogue) -> tuple[list[int], list[bool]]:
    """Token ids of a dialogue and which of them are learned: the assistant's own."""
    ids: list[int] = []
    learned: list[bool] = []

    def put(text: str, learn: bool) -> None:
        new = tokenizer.encode(text)
        ids.extend(new)
        learned.extend([learn] * len(new))

    for role, text in parts:
        if role == "raw":
            put(text + IM_END, True)
            continue
        own = role == "assistant"
        put(f"{IM_START}{'assistant' if role == 'call' else role}\n", False)
        put(text + IM_END, own)
        put("\n", False)
    return ids, learned


def conversation(source: Source) -> Unit:
    """Something told, other topics, then asked for: one long dialogue."""
    units = [_draw(source, EVERYDAY)(source) for _ in range(source.number(2, 4))]
    units = _with_memory(source, [u for u in units if u.system is None])
    return Unit([turn for unit in units for turn in unit.turns])


def evaluation(per_skill: int, seed: int = 20_000) -> Iterator[tuple[str, Unit]]:
    """Held-out questions: the same for everyone with the same seed."""
    for skill in (what_is_clowder, *EVERYDAY, conversation, *WITH_TOOLS, *LONG):
        source = Source(random.Random(f"{seed} {skill.__name__}"), held=True)
        for _ in range(per_skill):
            yield skill.__name__, skill(source)


def main() -> None:
    """Print sample dialogues, to look at."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--held", action="store_true", help="show evaluation questions instead")
    options = parser.parse_args()
    if options.held:
        seen: Counter[str] = Counter()
        for name, unit in evaluation(options.count, options.seed):
            seen[name] += 1
            print(f"[{name}]", *unit.turns, sep="\n  ")
        return
    for _, parts in zip(range(options.count), dialogues(options.seed)):
        print(*(f"{role}: {text}" for role, text in parts), "", sep="\n")


if __name__ == "__main__":
    main()
