"""The operational API as the first document of Clowder prints it, and changes under load."""

import json
import os
import shlex
import signal
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from conftest import BASE, TOKEN_FILE, eventually, operate

CLOWDER = os.environ["CLOWDER"]
KITTEN = Path(__file__).parents[5] / "models" / "kitten" / "kitten.gguf"


def curl(line: str) -> subprocess.CompletedProcess:
    """Runs a curl line as a person types it, quietly."""
    return subprocess.run(["curl", "-sS", *shlex.split(line)[1:]], capture_output=True, text=True, timeout=60)


def model(name: str) -> dict:
    return operate("GET", f"/api/v1/models/{name}")


def ready(name: str, replicas: int) -> bool:
    status = model(name)
    return status["phase"] == "ready" and status["ready"] == replicas


@pytest.fixture
def load() -> Iterator[None]:
    """`clowder bench` for as long as the test runs; the test fails if a single request does."""
    command = [CLOWDER, "--json", "bench", "--model", "kitten", "--concurrency", "4", "--duration", "15s", "--max-tokens", "24"]
    bench = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    yield
    report, _ = bench.communicate(timeout=120)
    requests = json.loads(report)["requests"]
    assert bench.returncode == 0 and requests["failed"] == 0 and requests["ok"] > 20, report


@contextmanager
def web_server(folder: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_the_four_curl_lines():
    token = TOKEN_FILE.read_text().strip()
    node = operate("GET", "/api/v1/nodes")["data"][0]["name"]
    body = json.dumps({"modelUrl": f"file://{KITTEN}", "modelAlias": "smol", "nodeName": node, "credentials": "x"})
    made = curl(f"curl -H 'Authorization: Bearer {token}' -X POST --data '{body}' -i {BASE}/api/v1/workers")
    assert made.stdout.startswith("HTTP/1.1 200"), made.stdout
    eventually("smol serves", lambda: ready("smol", 1))

    listed = json.loads(curl(f"curl -H 'Authorization: Bearer {token}' {BASE}/api/v1/workers/list").stdout)
    assert listed["status"] == "success" and listed["count"] == len(listed["workers"])
    (smol,) = [worker for worker in listed["workers"] if worker["model_alias"] == "smol"]

    models = json.loads(curl(f"curl {BASE}/v1/models").stdout)
    assert models["object"] == "list" and {"smol", "kitten"} <= {entry["id"] for entry in models["data"]}
    chat = json.dumps({"model": "smol", "messages": [{"role": "user", "content": "What is Clowder?"}], "temperature": 0})
    answer = json.loads(curl(f"curl {BASE}/v1/chat_completions --data '{chat}' -H 'Content-Type: application/json'").stdout)
    assert answer["model"] == "smol" and "Clowder" in answer["choices"][0]["message"]["content"]

    synced = json.loads(curl(f"curl -H 'Authorization: Bearer {token}' -X POST {BASE}/api/v1/workers/sync").stdout)
    assert synced["status"] == "success" and synced["message"] == "Workers synchronized"
    name = smol["name"]
    deleted = curl(f"curl -H 'Authorization: Bearer {token}' -X DELETE {BASE}/api/v1/workers?name={name}")
    expected = {"status": "success", "message": f"Worker {name} deleted", "found_in_router": True}
    assert expected.items() <= json.loads(deleted.stdout).items()
    eventually("smol is gone", lambda: "smol" not in [m["name"] for m in operate("GET", "/api/v1/models")["data"]])

    refused = curl(f"curl -H 'Authorization: Bearer nekko-admin-token' -i {BASE}/api/v1/workers/list")
    assert refused.stdout.startswith("HTTP/1.1 401"), refused.stdout


def test_deploys_and_scaling_under_load(load):
    operate("POST", "/api/v1/models", {"name": "from-file", "source": f"file://{KITTEN}"})
    with web_server(KITTEN.parent) as web:
        operate("POST", "/api/v1/models", {"name": "from-web", "source": f"{web}/kitten.gguf"})
        operate("PATCH", "/api/v1/models/kitten", {"replicas": 2})
        eventually("the model of a file serves", lambda: ready("from-file", 1))
        eventually("the model of a web server serves", lambda: ready("from-web", 1))
    eventually("two kittens serve", lambda: ready("kitten", 2))
    operate("PATCH", "/api/v1/models/kitten", {"replicas": 1})
    eventually("one kitten serves", lambda: ready("kitten", 1) and len(model("kitten")["workers"]) == 1)
    for name in ("from-file", "from-web"):
        operate("DELETE", f"/api/v1/models/{name}")


def test_settings_on_trial_become_the_models_own_under_load(load):
    before = model("kitten")
    (own,) = before["workers"]
    slots = before["engine"]["slots"]
    operate("PATCH", "/api/v1/models/kitten", {"rollout": {"canary": {"weight": 30, "engine": {"slots": 2}}}})
    eventually("one is on trial", lambda: ready("kitten", 2) and model("kitten")["canary"]["ready"] == 1)
    tried = model("kitten")
    (trial,) = [worker for worker in tried["workers"] if worker["revision"] == tried["canary"]["revision"]]
    assert (trial["slots"], own["id"] in [worker["id"] for worker in tried["workers"]]) == (2, True), tried
    shown = subprocess.run([CLOWDER, "ps"], capture_output=True, text=True, timeout=60).stdout
    assert "1/1 at 30%" in shown, shown

    def requests(group: str) -> int:
        with urllib.request.urlopen(f"{BASE}/metrics", timeout=10) as page:
            lines = page.read().decode().splitlines()
        of = f'clowder_gateway_requests_total{{model="kitten",outcome="200",group="{group}"}} '
        return sum(int(line.removeprefix(of)) for line in lines if line.startswith(of))

    first = {group: requests(group) for group in ("own", "trial")}
    eventually("requests on trial", lambda: requests("trial") - first["trial"] >= 6)
    assert requests("own") > first["own"]
    operate("PATCH", "/api/v1/models/kitten", {"engine": {"slots": 2}, "rollout": {"canary": None}})
    eventually("it is the model's own", lambda: ready("kitten", 1) and len(model("kitten")["workers"]) == 1)
    (promoted,) = model("kitten")["workers"]
    assert (promoted["id"], promoted["pid"]) == (trial["id"], trial["pid"]), "it was not started again"
    operate("PATCH", "/api/v1/models/kitten", {"engine": {"slots": slots}})
    eventually("all is as before", lambda: ready("kitten", 1) and len(model("kitten")["workers"]) == 1)


def test_a_model_sleeps_until_it_is_asked(client):
    sleepy = {"name": "sleepy", "source": "builtin:kitten", "autoscaling": {"min": 0, "max": 1, "scale_down_delay": 2}}
    operate("POST", "/api/v1/models", sleepy)
    eventually("sleepy sleeps", lambda: model("sleepy")["phase"] == "idle")
    assert model("sleepy")["workers"] == []

    def ask(_: int) -> str:
        messages = [{"role": "user", "content": "What is Clowder?"}]
        return client.chat.completions.create(model="sleepy", messages=messages, temperature=0).choices[0].message.content

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(ask, range(10)))
    assert all("Clowder" in answer for answer in answers), answers
    (worker,) = model("sleepy")["workers"]
    assert worker["restarts"] == 0, "ten requests, one start"
    eventually("sleepy sleeps again", lambda: model("sleepy")["phase"] == "idle" and model("sleepy")["workers"] == [])
    operate("DELETE", "/api/v1/models/sleepy")


def test_a_killed_worker_comes_back_and_says_why():
    bench = subprocess.Popen(
        [CLOWDER, "--json", "bench", "--model", "kitten", "--concurrency", "4", "--duration", "8s", "--max-tokens", "16"],
        stdout=subprocess.PIPE,
        text=True,
    )
    eventually("load", lambda: operate("GET", "/api/v1/status")["in_flight"] > 0)
    before = model("kitten")["workers"][0]
    os.kill(before["pid"], signal.SIGKILL)
    eventually("another process", lambda: model("kitten")["workers"][0]["restarts"] > before["restarts"] and ready("kitten", 1))
    after = model("kitten")["workers"][0]
    assert after["pid"] != before["pid"] and "SIGKILL" in after["last_exit"]["reason"]
    shown = subprocess.run([CLOWDER, "ps"], capture_output=True, text=True, timeout=60).stdout
    assert "SIGKILL" in shown, shown
    report, _ = bench.communicate(timeout=120)
    requests = json.loads(report)["requests"]
    # Only what the dead process had begun to answer may fail: at most as many as were under way.
    assert requests["failed"] <= 4 and requests["ok"] > 20, report


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"source": "kitten"}, 400, "scheme"),
        ({"source": "builtin:kitten", "replicaz": 2}, 400, "replicaz"),
        ({"name": "a b", "source": "builtin:kitten"}, 400, "a b"),
        ({"name": "kitten", "source": "http://127.0.0.1:9/x.gguf"}, 409, "kitten"),
    ],
)
def test_bad_deploys_are_refused_with_the_reason(body, status, says):
    token = TOKEN_FILE.read_text().strip()
    text = json.dumps(body)
    answer = curl(f"curl -H 'Authorization: Bearer {token}' -d '{text}' -w '\\n%{{http_code}}' {BASE}/api/v1/models").stdout
    message, code = answer.rsplit("\n", 1)
    assert int(code) == status and says in json.loads(message)["error"]["message"], answer


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda folder: (folder / "m.gguf").write_bytes(KITTEN.read_bytes()[:100_000]), "cut off"),
        (lambda folder: (folder / "m.gguf").write_bytes(KITTEN.read_bytes().replace(b"llama", b"lamma")), "lamma"),
        (lambda folder: (folder / "m.gguf").write_text("<html>"), "no GGUF"),
        (lambda folder: None, "does not exist"),
    ],
    ids=["truncated", "unknown-architecture", "not-a-gguf", "absent"],
)
def test_models_that_cannot_run_say_why(tmp_path, make, says):
    make(tmp_path)
    operate("POST", "/api/v1/models", {"name": "bad", "source": f"file://{tmp_path}/m.gguf"})
    try:
        eventually("a reason", lambda: model("bad")["phase"] == "failed")
        assert says in model("bad")["reason"], model("bad")["reason"]
    finally:
        operate("DELETE", "/api/v1/models/bad")
        eventually("it is gone", lambda: "bad" not in [m["name"] for m in operate("GET", "/api/v1/models")["data"]])


def test_an_unreachable_source_says_so():
    operate("POST", "/api/v1/models", {"name": "far", "source": "http://127.0.0.1:9/m.gguf"})
    try:
        eventually("a reason", lambda: "cannot be reached" in (model("far")["reason"] or ""))
    finally:
        operate("DELETE", "/api/v1/models/far")
