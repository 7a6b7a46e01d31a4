"""Checks that llama.cpp sees what training saw: same tokens, same chat format.

Needs llama-cpp-python and jinja2.
"""

from __future__ import annotations

import itertools
import json
import random
import sys
from pathlib import Path

import jinja2
import llama_cpp

from chat import TEMPLATE, turns
from eval import messages_of
from generate import dialogues, evaluation
from tokenizer import IM_END, IM_START, Tokenizer

HERE = Path(__file__).parent
STRINGS = ["", " ", "  two  spaces ", "\n\n\ttab", "café naïve Zoë", "你好，世界！", "🐱👍🏽👩‍👩‍👧", "1234567890", "a1b2", "don't", "x_y-z", '{"a": [1, 2.5, null]}', "\u2581", "e\u0301", "مرحبا",
           "\r\n", "\x00\x01", "http://localhost:3090/v1", "<tool_call>{}</tool_call>", "```rust\nfn main() {}\n```", "ÀÉÎõü ŁŻ", "\U0001f9ff\U00010348"]


def texts(count: int) -> list[str]:
    """Strings of many kinds: listed ones, generated dialogue, random code points."""
    rng = random.Random(5)
    made = ["".join(chr(rng.choice([rng.randint(32, 126), rng.randint(160, 0x2FFF), rng.randint(0x4E00, 0x9FFF), rng.randint(0x1F300, 0x1FAFF)])) for _ in range(rng.randint(1, 30))) for _ in range(count)]
    spoken = [text for d in itertools.islice(dialogues(99), count) for _, text in d]
    return STRINGS + made + spoken


def main() -> int:
    """Compare; print what differs."""
    tokenizer = Tokenizer.load(HERE / "tokenizer.json")
    model = llama_cpp.Llama(str(HERE / "kitten.gguf"), vocab_only=True, verbose=False)
    wrong = 0
    checked = texts(1000)
    for text in checked:
        if not text:
            continue
        theirs = model.tokenize(text.encode(), add_bos=True, special=True)
        ours = tokenizer.encode(text)
        back = model.detokenize(theirs).decode(errors="replace")
        if theirs != ours or (back != text and "\u2581" not in text):
            wrong += 1
            print(f"tokens differ: {text!r}\n  ours   {ours}\n  theirs {theirs}\n  back   {back!r}")
    template = jinja2.Environment().from_string(TEMPLATE)
    for name, unit in evaluation(20):
        messages = messages_of(unit)
        rendered = template.render(messages=messages, tools=unit.tools, add_generation_prompt=True)
        plain = ([{"role": "system", "content": unit.system}] if unit.system else []) + [
            {"role": "assistant" if r == "call" else r, "content": json_spaced(t) if r == "call" else t} for r, t in unit.turns[:-1]]
        expected = "".join(f"{IM_START}{r}\n{t}{IM_END}\n" for r, t in turns(plain, unit.tools)) + IM_START + "assistant\n"
        if rendered != expected:
            wrong += 1
            print(f"template differs for {name}:\n{rendered}\n---\n{expected}")
    print(f"{len(checked)} texts checked, {wrong} differences")
    return int(wrong > 0)


def json_spaced(call: str) -> str:
    """A tool call with the spacing the template gives it."""
    head, body, tail = call[:11], call[11:-12], call[-12:]
    value = json.loads(body)
    return f'{head}{{"name": "{value["name"]}", "arguments": {json.dumps(value["arguments"], ensure_ascii=False)}}}{tail}'


if __name__ == "__main__":
    sys.exit(main())
