"""Asks kitten the held-out questions and prints a table of accuracies.

With --url the questions go to an OpenAI-compatible server, so the product is tested with
the model; with --local the GGUF is loaded here through llama-cpp-python. The skills that the
model card (README.md) claims must reach 95 %, or the exit code is 1. --card writes the table
into the card, claiming what reached 95 %.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
import urllib.request
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable

from chat import TEMPLATE, Message, Tool, tool_call_text
from generate import evaluation
from skills.base import Unit
from tokenizer import IM_END, TOOL_CLOSE, TOOL_OPEN

HERE = Path(__file__).parent
THRESHOLD = 0.95
LIMIT = 1200
CARD = HERE / "README.md"
TABLE = re.compile(r"(?<=<!-- table -->\n).*?(?=<!-- /table -->)", re.DOTALL)
NOT_CLAIMED = " (not claimed)"

Ask = Callable[[list[Message], list[Tool]], str]


def messages_of(unit: Unit) -> list[Message]:
    """The dialogue before the answer, as OpenAI messages."""
    messages: list[Message] = [{"role": "system", "content": unit.system}] if unit.system else []
    for role, text in unit.turns[:-1]:
        if role == "call":
            call = json.loads(text.removeprefix(TOOL_OPEN).removesuffix(TOOL_CLOSE))
            function = {"name": call["name"], "arguments": json.dumps(call["arguments"], ensure_ascii=False)}
            messages.append({"role": "assistant", "content": None, "tool_calls": [{"id": "call_1", "type": "function", "function": function}]})
        elif role == "tool":
            messages.append({"role": "tool", "tool_call_id": "call_1", "content": text})
        else:
            messages.append({"role": role, "content": text})
    return messages


def through_url(url: str, model: str, temperature: float) -> Ask:
    """Ask an OpenAI-compatible server."""

    def ask(messages: list[Message], tools: list[Tool]) -> str:
        body: dict[str, Any] = {"model": model, "messages": messages, "temperature": temperature, "max_tokens": LIMIT}
        if tools:
            body["tools"] = tools
        request = urllib.request.Request(
            url.rstrip("/") + "/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=300) as response:
            message = json.load(response)["choices"][0]["message"]
        calls = message.get("tool_calls") or []
        return (message.get("content") or "") + "".join(
            tool_call_text(c["function"]["name"], json.loads(c["function"]["arguments"])) for c in calls)

    return ask


def through_file(path: Path, temperature: float, threads: int) -> Ask:
    """Ask the GGUF, loaded in this process."""
    import jinja2
    import llama_cpp

    model = llama_cpp.Llama(str(path), n_ctx=2048, n_threads=threads, n_threads_batch=threads, verbose=False)
    template = jinja2.Environment().from_string(TEMPLATE)

    def ask(messages: list[Message], tools: list[Tool]) -> str:
        prompt = template.render(messages=messages, tools=tools, add_generation_prompt=True)
        tokens = model.tokenize(prompt.encode(), add_bos=False, special=True)
        answer = model.create_completion(tokens, max_tokens=LIMIT, temperature=temperature, top_p=1.0, top_k=0, min_p=0.0, repeat_penalty=1.0, stop=[IM_END])
        return answer["choices"][0]["text"]

    return ask


def same(answer: str, accepted: str) -> bool:
    """Whether an answer is the accepted one; JSON and tool calls compare by value."""
    if answer.strip() == accepted.strip():
        return True
    strip = lambda text: text.strip().removeprefix(TOOL_OPEN).removesuffix(TOOL_CLOSE)
    if answer.startswith(TOOL_OPEN) != accepted.startswith(TOOL_OPEN) or strip(accepted)[:1] not in ("{", "["):
        return False
    try:
        return bool(json.loads(strip(answer)) == json.loads(strip(accepted)))
    except ValueError:
        return False


def right(unit: Unit, answer: str) -> bool:
    """Whether an answer to a unit is right."""
    if unit.pattern:
        return re.fullmatch(unit.pattern, answer.strip()) is not None
    return any(same(answer, a) for a in unit.accept)


def claimed() -> set[str]:
    """Skills the card claims."""
    table = TABLE.search(CARD.read_text(encoding="utf-8"))
    rows = [line.split("|")[1] for line in table[0].splitlines() if line.startswith("|")] if table else []
    return {name.strip() for name in rows if NOT_CLAIMED not in name}


def table_of(marks: dict[str, list[bool]], claims: set[str]) -> str:
    """Accuracies as a Markdown table."""
    lines = ["| skill | n | correct | accuracy |", "|---|---|---|---|"]
    for name, results in marks.items():
        mark = "" if name in claims else NOT_CLAIMED
        lines.append(f"| {name}{mark} | {len(results)} | {sum(results)} | {sum(results) / len(results):.1%} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Ask, count, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--url", default="http://127.0.0.1:3090", help="base URL of an OpenAI-compatible server")
    where.add_argument("--local", action="store_true", help="load the GGUF with llama-cpp-python instead")
    parser.add_argument("--model", default="kitten")
    parser.add_argument("--gguf", type=Path, default=HERE / "kitten.gguf")
    parser.add_argument("--count", type=int, default=100, help="questions per skill")
    parser.add_argument("--skill", action="append", help="only this skill; may be repeated")
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--parallel", type=int, default=4, help="requests at a time with --url")
    parser.add_argument("--threads", type=int, default=2, help="threads with --local")
    parser.add_argument("--card", action="store_true", help="write the table into the model card")
    parser.add_argument("--failures", type=int, default=0, help="show up to so many wrong answers per skill")
    options = parser.parse_args()

    questions = [(n, u) for n, u in evaluation(options.count) if not options.skill or n in options.skill]
    ask = through_file(options.gguf, options.temperature, options.threads) if options.local else through_url(options.url, options.model, options.temperature)
    began = time.time()
    with ThreadPoolExecutor(1 if options.local else options.parallel) as pool:
        answers = list(pool.map(lambda q: ask(messages_of(q[1]), q[1].tools), questions))
    marks: dict[str, list[bool]] = defaultdict(list)
    for (name, unit), answer in zip(questions, answers):
        marks[name].append(right(unit, answer))
        if not marks[name][-1] and marks[name].count(False) <= options.failures:
            print(f"{name}: {unit.turns[-2][1]!r}\n  got  {answer!r}\n  want {unit.accept[0]!r}")
    reached = {name for name, results in marks.items() if sum(results) >= THRESHOLD * len(results)}
    claims = reached if options.card else claimed()
    table = table_of(marks, claims)
    print(table + f"{len(questions)} questions in {time.time() - began:.0f} s")
    if options.card:
        CARD.write_text(TABLE.sub(lambda _: table, CARD.read_text(encoding="utf-8")), encoding="utf-8")
    return int(bool(claims & marks.keys() - reached))


if __name__ == "__main__":
    sys.exit(main())
