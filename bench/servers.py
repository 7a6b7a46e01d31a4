"""Starts the servers that are measured, each on a free loopback port with a folder of its own."""

import json
import os
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

KITTEN = Path(__file__).parent.parent / "models" / "kitten" / "kitten.gguf"


@dataclass
class Server:
    """A running server: its base URL, its process, and when that was started."""

    url: str
    process: subprocess.Popen
    started: float
    home: Path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def chat(url: str, content: str, **settings) -> urllib.request.Request:
    """A chat request to `url`."""
    body = {"model": "kitten", "messages": [{"role": "user", "content": content}], **settings}
    headers = {"Content-Type": "application/json"}
    return urllib.request.Request(f"{url}/v1/chat/completions", json.dumps(body).encode(), headers)


def first_token(url: str, deadline_s: float = 60) -> float:
    """Asks until an answer's first token comes; returns when that was."""
    deadline = time.monotonic() + deadline_s
    while True:
        try:
            with urllib.request.urlopen(chat(url, "What is Clowder?", stream=True, max_tokens=8), timeout=60) as answer:
                for line in answer:
                    if line.startswith(b"data: {") and b'"content":"' in line and b'"content":""' not in line:
                        return time.monotonic()
        except (urllib.error.URLError, ConnectionError):
            pass
        if time.monotonic() > deadline:
            raise TimeoutError(f"no token from {url} within {deadline_s} s")
        time.sleep(0.005)


@contextmanager
def running(command: list[str], url: str, home: Path) -> Iterator[Server]:
    started = time.monotonic()
    environment = {**os.environ, "CLOWDER_HOME": str(home)}
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        yield Server(url, process, started, home)
    finally:
        process.terminate()
        process.wait(timeout=30)


@contextmanager
def clowder(binary: str, *flags: str) -> Iterator[Server]:
    """`clowder serve` with kitten."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = [binary, "serve", "--address", f"127.0.0.1:{port}", *flags]
        with running(command, f"http://127.0.0.1:{port}", Path(folder)) as server:
            yield server


@contextmanager
def llama_server(binary: str, *flags: str) -> Iterator[Server]:
    """llama.cpp's own server with kitten."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = [binary, "-m", str(KITTEN), "--host", "127.0.0.1", "--port", str(port), "--alias", "kitten", *flags]
        with running(command, f"http://127.0.0.1:{port}", Path(folder)) as server:
            yield server
