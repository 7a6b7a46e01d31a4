"""How a model is run: adapters, a draft model, further settings, pinned files."""

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest

from conftest import eventually, operate
from test_operations import CLOWDER, KITTEN, model, ready, web_server

sys.path.insert(0, str(KITTEN.parent))
import adapter  # noqa: E402

QUESTIONS = ["What is Clowder?", "Say hello in French.", "What is 12 plus 30?", "Spell the word garden."]


def ask(client: openai.OpenAI, name: str, question: str) -> str:
    messages = [{"role": "user", "content": question}]
    answer = client.chat.completions.create(model=name, messages=messages, temperature=0, max_tokens=48)
    assert answer.model == name
    return answer.choices[0].message.content


def answers(client: openai.OpenAI, name: str) -> list[str]:
    with ThreadPoolExecutor(len(QUESTIONS)) as pool:
        return list(pool.map(lambda question: ask(client, name, question), QUESTIONS))


@pytest.fixture(scope="module")
def adapters(tmp_path_factory) -> Iterator[str]:
    """A web server with two adapters of kitten: one that changes it, one that does not."""
    folder = tmp_path_factory.mktemp("adapters")
    adapter.write(folder / "wild.gguf", strength=1.0)
    adapter.write(folder / "tame.gguf", strength=0.0)
    with web_server(folder) as web:
        yield web


def test_a_request_names_the_adapter_that_it_wants(client, adapters):
    plain = answers(client, "kitten")
    body = {
        "name": "cat",
        "source": "builtin:kitten",
        "adapters": [{"name": name, "source": f"{adapters}/{name}.gguf"} for name in ("wild", "tame")],
    }
    operate("POST", "/api/v1/models", body)
    eventually("cat serves", lambda: ready("cat", 1))
    listed = {entry.id: entry for entry in client.models.list().data}
    assert listed["wild"].parent == listed["tame"].parent == "cat"
    # All at the same time: one batch has requests of all three.
    with ThreadPoolExecutor(3) as pool:
        cat, wild, tame = pool.map(lambda name: answers(client, name), ("cat", "wild", "tame"))
    assert cat == plain and tame == plain
    assert all(one != other for one, other in zip(wild, plain)), wild
    operate("PATCH", "/api/v1/models/cat", {"adapters": [{"name": "tame", "source": f"{adapters}/tame.gguf"}]})
    eventually("wild is gone", lambda: "wild" not in {entry.id for entry in client.models.list().data})
    eventually("cat serves without it", lambda: ready("cat", 1) and len(model("cat")["workers"]) == 1)
    assert answers(client, "tame") == plain
    operate("DELETE", "/api/v1/models/cat")


def test_what_is_no_adapter_of_the_model_is_told(tmp_path):
    with web_server(KITTEN.parent) as web:
        body = {"name": "cat", "source": "builtin:kitten", "adapters": [{"name": "not", "source": f"{web}/kitten.gguf"}]}
        operate("POST", "/api/v1/models", body)
        eventually("the reason", lambda: "adapter" in (model("cat")["reason"] or ""))
        operate("DELETE", "/api/v1/models/cat")


def test_a_draft_model_changes_no_answer(client):
    plain = answers(client, "kitten")
    deploy = [CLOWDER, "deploy", "kitten", "--name", "fast", "--draft", "kitten", "--draft-tokens", "4"]
    done = subprocess.run([*deploy, "--set", "use_mmap=false"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert model("fast")["engine"]["draft"] == {"source": "builtin:kitten", "tokens": 4}
    assert answers(client, "fast") == plain
    operate("DELETE", "/api/v1/models/fast")


def test_settings_that_are_not_are_refused_with_those_there_are():
    deploy = [CLOWDER, "deploy", "kitten", "--name", "odd", "--set", "mmap=false"]
    done = subprocess.run(deploy, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "flash_attn" in done.stderr, done.stderr


def test_a_pin_is_recorded_and_taken_back():
    operate("PATCH", "/api/v1/models/kitten", {"cache": {"pin": True}})
    assert model("kitten")["cache"] == {"pin": True}
    operate("PATCH", "/api/v1/models/kitten", {"cache": {"pin": None}})
    assert json.dumps(model("kitten")["cache"]) == '{"pin": false}'
