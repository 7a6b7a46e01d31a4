"""What the tests share: the server that `run.sh` started, and clients of it."""

import json
import os
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import openai
import pytest

BASE = os.environ["CLOWDER_URL"]
TOKEN_FILE = Path(os.environ["CLOWDER_HOME"]) / "admin.token"


@pytest.fixture
def client() -> Iterator[openai.OpenAI]:
    """openai-python, without its own retries: what fails shall be seen."""
    with openai.OpenAI(base_url=f"{BASE}/v1", api_key="unused", max_retries=0, timeout=60) as made:
        yield made


def operate(method: str, path: str, body: object = None) -> object:
    """Calls the operational API with the admin token of the state folder."""
    request = urllib.request.Request(BASE + path, method=method)
    request.add_header("Authorization", f"Bearer {TOKEN_FILE.read_text().strip()}")
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(request, data, timeout=60) as answer:
        text = answer.read()
        return json.loads(text) if text else None


def eventually(what: str, holds: Callable[[], bool], seconds: float = 60) -> None:
    """Waits until something outside this process holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.05)


def in_flight() -> int:
    """Requests that the gateway is serving now."""
    return operate("GET", "/api/v1/status")["in_flight"]


def active_slots() -> int:
    """Generations in the slots of all workers."""
    active = 0
    for worker in operate("GET", "/api/v1/workers")["data"]:
        if worker["endpoint"] is None:
            continue
        with urllib.request.urlopen(worker["endpoint"] + "/slots", timeout=10) as answer:
            active += sum(1 for slot in json.load(answer) if slot["is_processing"])
    return active
