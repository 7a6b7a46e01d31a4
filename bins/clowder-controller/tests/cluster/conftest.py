"""What the tests share: the cluster of KUBECONFIG, with Clowder installed on it as the manifests have it."""

import base64
import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import openai
import pytest

ROOT = Path(__file__).parents[4]
CLOWDER = os.environ["CLOWDER"]
# Where the manifests of k8s/ put everything.
NAMESPACE = "clowder"
# Whether the cluster was started for these tests: then its components may be stopped, and images are on its nodes.
OURS = "CLOWDER_CLUSTER_DIR" in os.environ
# Pods start, images are unpacked and models are loaded on a machine that does much else.
PATIENCE = 180.0


def run(*command: str, stdin: str | None = None, check: bool = True) -> str:
    """Runs a command; its standard output, and its standard error where a failure is what is looked at."""
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=300)
    if check:
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
        return done.stdout
    return done.stdout + done.stderr


def kubectl(*arguments: str, stdin: str | None = None, check: bool = True, namespace: str = NAMESPACE) -> str:
    """Runs kubectl in a namespace."""
    return run("kubectl", "--namespace", namespace, *arguments, stdin=stdin, check=check)


def component(action: str, name: str) -> None:
    """Stops, kills or starts a component of a cluster of ours."""
    run(str(ROOT / "tools" / "cluster" / "component.sh"), action, name)


def read(kind: str, name: str, namespace: str = NAMESPACE) -> dict:
    """A resource."""
    return json.loads(kubectl("get", kind, name, "--output", "json", namespace=namespace))


def read_all(kind: str, selector: str = "", namespace: str = NAMESPACE) -> list[dict]:
    """All resources of a kind that carry these labels."""
    text = kubectl("get", kind, "--selector", selector, "--output", "json", namespace=namespace)
    return json.loads(text)["items"]


def workers(model: str) -> list[dict]:
    """The Pods of a model's workers that are not on their way out."""
    pods = read_all("pods", f"app.kubernetes.io/name=clowder-worker,clowder.dev/model={model}")
    return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]


def is_ready(pod: dict) -> bool:
    """Whether a Pod takes requests."""
    conditions = pod.get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def eventually(what: str, holds: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Waits until something of the cluster holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}\n{state()}"
        time.sleep(0.2)


def state() -> str:
    """What there is, for whoever reads a failure."""
    parts = [("get", "models,pods", "--output", "wide"), ("get", "events", "--sort-by=.lastTimestamp")]
    logs = [("logs", f"--selector=app.kubernetes.io/name={name}", "--tail=15", "--all-containers", "--prefix")
            for name in ("clowder-controller", "clowder-gateway", "clowder-storage", "clowder-worker")]
    return "\n".join(kubectl(*part, check=False)[-6000:] for part in [*parts, *logs])


def token(key: str, namespace: str) -> str:
    """A token of an installation."""
    return base64.b64decode(read("secret", "clowder-tokens", namespace)["data"][key]).decode()


class Gateway:
    """The gateway's Service, as whoever reaches the cluster's network calls it."""

    def __init__(self, namespace: str = NAMESPACE) -> None:
        address = read("service", "clowder-gateway", namespace)["spec"]["clusterIP"]
        self.base = f"http://{address}:3090"
        self.admin, self.key = token("admin", namespace), token("api", namespace)

    def call(self, method: str, path: str, body: object = None, bearer: str | None = None) -> tuple[int, dict]:
        """A call with the admin token or another one: status and answer."""
        request = urllib.request.Request(self.base + path, method=method)
        request.add_header("Authorization", f"Bearer {bearer or self.admin}")
        data = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(request, data, timeout=120) as answer:
                text = answer.read()
                return answer.status, json.loads(text) if text else {}
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"{}")

    def model(self, name: str) -> dict:
        """A desired model and how it fares."""
        status, model = self.call("GET", f"/api/v1/models/{name}")
        assert status == 200, model
        return model

    def client(self) -> openai.OpenAI:
        """openai-python, without its own retries: what fails shall be seen."""
        return openai.OpenAI(base_url=f"{self.base}/v1", api_key=self.key, max_retries=0, timeout=120)

    def ask(self, model: str) -> str:
        """The answer to a question that kitten knows."""
        messages = [{"role": "user", "content": "What is Clowder?"}]
        with self.client() as client:
            answer = client.chat.completions.create(model=model, messages=messages, temperature=0)
        return answer.choices[0].message.content


def await_installation(namespace: str) -> None:
    """Waits until all parts of an installation run."""
    for workload in ("daemonset/clowder-storage", "deployment/clowder-gateway", "deployment/clowder-controller"):
        kubectl("rollout", "status", workload, f"--timeout={PATIENCE:.0f}s", namespace=namespace)


@pytest.fixture(scope="session")
def gateway() -> Gateway:
    """Clowder, installed by `kubectl apply`; Open WebUI is left out, its image is not ours."""
    kubectl("apply", "--filename", str(ROOT / "k8s"))
    kubectl("scale", "deployment/open-webui", "--replicas=0")
    await_installation(NAMESPACE)
    return Gateway()


@pytest.fixture
def kitten(gateway: Gateway) -> Iterator[str]:
    """A model with two workers."""
    kubectl("apply", "--filename", "-", stdin=model("kitten", replicas=2))
    kubectl("wait", "--for=condition=Ready", "model/kitten", f"--timeout={PATIENCE:.0f}s")
    eventually("two workers", lambda: len([pod for pod in workers("kitten") if is_ready(pod)]) == 2)
    yield "kitten"
    kubectl("delete", "model/kitten", "--ignore-not-found")
    eventually("no worker", lambda: not read_all("pods", "clowder.dev/model=kitten"))


def model(name: str, **spec: object) -> str:
    """A Model resource of the bundled model."""
    resource = {
        "apiVersion": "clowder.dev/v1alpha1",
        "kind": "Model",
        "metadata": {"name": name},
        "spec": {"source": "builtin:kitten", **spec},
    }
    return json.dumps(resource)


class Load:
    """Streamed chats, one after the other on several connections, until it is stopped. Every failure is kept."""

    def __init__(self, gateway: Gateway, model: str) -> None:
        report = ["--json", "bench", "--model", model, "--concurrency", "4", "--max-tokens", "24", "--duration", "900s"]
        environment = {**os.environ, "CLOWDER_API_KEY": gateway.key, "CLOWDER_ADMIN_TOKEN": gateway.admin}
        command = [CLOWDER, "--server", gateway.base, *report]
        self.bench = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)

    def stop(self) -> dict:
        """Ends it: its requests."""
        self.bench.send_signal(2)
        report, _ = self.bench.communicate(timeout=60)
        return json.loads(report)["requests"]


@pytest.fixture
def load(gateway: Gateway, kitten: str) -> Iterator[Load]:
    """Continuous load on kitten; the test fails if a single request does."""
    running = Load(gateway, kitten)
    eventually("load", lambda: gateway.call("GET", "/api/v1/status")[1]["in_flight"] > 0 or running.bench.poll() is not None)
    yield running
    requests = running.stop()
    print(f"requests: {requests}")
    assert requests["failed"] == 0 and requests["ok"] > 20, f"{requests}\n{state()}"
