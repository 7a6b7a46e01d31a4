"""Models as resources, and as the operational API makes them."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from conftest import ROOT, Gateway, eventually, is_ready, kubectl, model, read, read_all, state, workers

sys.path.insert(0, str(ROOT / "models" / "kitten"))
import adapter  # noqa: E402


def curl(*arguments: str) -> str:
    """curl, quietly."""
    return subprocess.run(["curl", "-sS", *arguments], capture_output=True, text=True, timeout=120, check=True).stdout


@pytest.mark.parametrize("with_node", [True, False], ids=["on-a-named-node", "anywhere"])
def test_the_four_curl_lines(gateway: Gateway, with_node: bool):
    nodes = gateway.call("GET", "/api/v1/nodes")[1]["data"]
    bearer = f"Authorization: Bearer {gateway.admin}"
    body = {"modelUrl": "builtin:kitten", "modelAlias": "smol"}
    if with_node:
        body["nodeName"] = nodes[-1]["name"]
    made = curl("-H", bearer, "-X", "POST", "--data", json.dumps(body), "-i", f"{gateway.base}/api/v1/workers")
    assert made.startswith("HTTP/1.1 200"), made
    eventually("smol serves", lambda: gateway.model("smol")["phase"] == "ready")
    (pod,) = workers("smol")
    if with_node:
        assert pod["spec"]["nodeName"] == body["nodeName"]
    listed = json.loads(curl("-H", bearer, f"{gateway.base}/api/v1/workers/list"))
    (smol,) = [worker for worker in listed["workers"] if worker["model_alias"] == "smol"]
    assert "Clowder" in gateway.ask("smol")
    deleted = json.loads(curl("-H", bearer, "-X", "DELETE", f"{gateway.base}/api/v1/workers?name={smol['name']}"))
    assert deleted["status"] == "success", deleted
    eventually("smol is gone", lambda: not read_all("pods", "clowder.dev/model=smol"))


def test_a_resource_is_applied_waited_for_scaled_and_listed(gateway: Gateway):
    kubectl("apply", "--filename", "-", stdin=model("tabby"))
    kubectl("wait", "--for=condition=Ready", "model/tabby", "--timeout=180s")
    assert "Clowder" in gateway.ask("tabby")
    kubectl("scale", "model/tabby", "--replicas=2")
    eventually("two workers", lambda: sum(map(is_ready, workers("tabby"))) == 2)
    listed = lambda: [row.split()[:4] for row in kubectl("get", "models").splitlines()]
    assert listed()[0] == ["NAME", "PHASE", "READY", "DESIRED"], listed()
    eventually("two of two are listed", lambda: ["tabby", "Ready", "2", "2"] in listed())
    status = read("model", "tabby")["status"]
    assert status["observedGeneration"] == read("model", "tabby")["metadata"]["generation"]
    kubectl("scale", "model/tabby", "--replicas=0")
    eventually("no worker", lambda: not read_all("pods", "clowder.dev/model=tabby"))
    kubectl("delete", "model/tabby")


def test_a_wrong_resource_says_so_and_harms_no_other(gateway: Gateway, kitten: str):
    kubectl("apply", "--filename", "-", stdin=model("nowhere", source="http://127.0.0.1:9/m.gguf"))
    eventually("the reason", lambda: read("model", "nowhere").get("status", {}).get("reason"))
    assert "Clowder" in gateway.ask(kitten)
    kubectl("delete", "model/nowhere")


def test_the_source_of_a_model_does_not_change(gateway: Gateway, kitten: str):
    patch = json.dumps({"spec": {"source": "builtin:other"}})
    refused = kubectl("patch", "model/kitten", "--type=merge", "--patch", patch, check=False)
    assert "the source of a model does not change" in refused, refused


def test_from_zero(gateway: Gateway):
    sleepy = {"min": 0, "max": 1, "target": 16, "scaleDownDelaySeconds": 5}
    kubectl("apply", "--filename", "-", stdin=model("sleepy", autoscaling=sleepy))
    eventually("it sleeps", lambda: gateway.model("sleepy")["phase"] == "idle")
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: gateway.ask("sleepy"), range(10)))
    assert all("Clowder" in answer for answer in answers), answers
    assert len(workers("sleepy")) == 1, state()
    eventually("it sleeps again", lambda: not read_all("pods", "clowder.dev/model=sleepy"))
    kubectl("delete", "model/sleepy")


def test_the_command_speaks_to_a_cluster(gateway: Gateway, kitten: str, tmp_path):
    from conftest import CLOWDER

    def clowder(*arguments: str) -> str:
        environment = {"CLOWDER_ADMIN_TOKEN": gateway.admin, "CLOWDER_API_KEY": gateway.key, "HOME": str(tmp_path), "PATH": "/usr/bin"}
        command = [CLOWDER, "--server", gateway.base, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=200, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "kitten" in clowder("ps")
    nodes = json.loads(clowder("--json", "nodes"))
    assert nodes, nodes
    clowder("deploy", "kitten", "--name", "calico")
    assert "calico" in clowder("ps")
    worker = workers("calico")[0]["metadata"]["name"]
    assert clowder("logs", worker).strip()
    clowder("rm", "calico")
    eventually("calico is gone", lambda: not read_all("pods", f"clowder.dev/model=calico"))


@pytest.fixture
def adapters(gateway: Gateway, tmp_path: Path) -> Iterator[str]:
    """A web server that nodes reach, with an adapter of kitten that changes what it says."""
    adapter.write(tmp_path / "wild.gguf", strength=1.0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
        # Nothing is sent: it tells which of this machine's addresses is on the way to a node.
        (node, *_) = read_all("nodes")
        (address,) = [entry["address"] for entry in node["status"]["addresses"] if entry["type"] == "InternalIP"]
        way.connect((address, 9))
        here = way.getsockname()[0]
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path)
    with ThreadingHTTPServer((here, 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{here}:{server.server_port}"
        server.shutdown()


def test_a_model_with_an_adapter_and_a_draft(gateway: Gateway, kitten: str, adapters: str):
    plain = gateway.ask(kitten)
    wild = [{"name": "wild", "source": f"{adapters}/wild.gguf"}]
    engine = {"draft": {"source": "builtin:kitten", "tokens": 4}, "extra": {"use_mmap": "false"}}
    kubectl("apply", "--filename", "-", stdin=model("cat", adapters=wild, engine=engine, cache={"pin": True}))
    kubectl("wait", "--for=condition=Ready", "model/cat", "--timeout=180s")
    assert gateway.ask("cat") == plain
    assert gateway.ask("wild") != plain
    kubectl("delete", "model/cat")
