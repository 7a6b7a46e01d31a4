"""Controller and gateway in a large cluster: cluster.py FOLDER, where FOLDER has clowder-controller and clowder-gateway.

Wants KUBECONFIG to name a cluster whose nodes are kwok's, as tools/cluster/with-cluster.sh starts it:

    tools/cluster/with-cluster.sh --nodes 0 --kwok 1000 -- python3 bench/cluster.py target/release

99 models of 100 replicas fill it; then one more is applied, and the time until its Pods are there is taken. It fails where
Pods are missing, never for being slow.
"""

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from idle import cpu_seconds, memory
from servers import free_port

NAMESPACE = "clowder"
CRD = Path(__file__).parents[1] / "clowder-k8s" / "crd" / "models.yaml"
MODELS, REPLICAS = 100, 100
# All waits are for what must come; this is how long before it is given up.
PATIENCE = 1200.0


def kubectl(*arguments: str, stdin: str | None = None) -> str:
    command = ["kubectl", "--namespace", NAMESPACE, *arguments]
    return subprocess.run(command, input=stdin, check=True, stdout=subprocess.PIPE, text=True).stdout


def model(name: str) -> dict:
    return {
        "apiVersion": "clowder.dev/v1alpha1",
        "kind": "Model",
        "metadata": {"name": name},
        "spec": {"source": "builtin:kitten", "replicas": REPLICAS},
    }


def page(port: int, path: str) -> str:
    """A page of a program of this machine; empty while it does not listen yet."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
            return answer.read().decode()
    except ConnectionError:
        return ""
    except urllib.error.URLError as error:
        if isinstance(error.reason, ConnectionError):
            return ""
        raise


def sample(text: str, name: str) -> float:
    """The sum of a metric over its labels."""
    return sum(float(value) for value in re.findall(rf"^{name}(?:\{{[^}}]*\}})? (\S+)$", text, re.MULTILINE))


def until(what: str, holds) -> float:
    """Waits for something; how long it took, in seconds."""
    began = time.monotonic()
    while not holds():
        if time.monotonic() - began > PATIENCE:
            raise SystemExit(f"given up after {PATIENCE:.0f} s: {what}")
        time.sleep(0.1)
    return time.monotonic() - began


def pods(name: str) -> int:
    """How many Pods a model has, counted by the API server."""
    return len(kubectl("get", "pods", f"--selector=clowder.dev/model={name}", "--output=name").split())


def workers(health: int) -> int:
    """How many Pods of workers the controller has heard of."""
    return int(sample(page(health, "/metrics"), "clowder_controller_workers"))


@contextlib.contextmanager
def running(*command: str) -> Iterator[subprocess.Popen]:
    with tempfile.NamedTemporaryFile(prefix="clowder-bench-", suffix=".log") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "RUST_LOG": "warn"})
        try:
            yield process
            if process.poll() is not None:
                raise SystemExit(f"{command[0]} ended: {Path(log.name).read_text()}")
        finally:
            process.terminate()
            process.wait(30)


def main() -> None:
    programs = Path(sys.argv[1])
    subprocess.run(["kubectl", "create", "namespace", NAMESPACE], check=True, stdout=subprocess.DEVNULL)
    kubectl("apply", "--server-side", "--filename", str(CRD))
    kubectl("wait", "--for=condition=Established", "crd/models.clowder.dev")
    until("the service account", lambda: "default" in kubectl("get", "serviceaccounts", "--output=name"))
    kubectl("create", "serviceaccount", "clowder-worker")
    health, port = free_port(), free_port()
    controller = running(
        str(programs / "clowder-controller"), "run", f"--namespace={NAMESPACE}", "--worker-image=clowder:dev",
        f"--health-address=127.0.0.1:{health}",
    )
    gateway = running(str(programs / "clowder-gateway"), f"--namespace={NAMESPACE}", f"--listen=127.0.0.1:{port}")
    with controller as controller, gateway as gateway:
        until("a leader", lambda: sample(page(health, "/metrics"), "clowder_controller_leader") == 1)
        others = [model(f"cat-{number:02}") for number in range(MODELS - 1)]
        filling = {"apiVersion": "v1", "kind": "List", "items": others}
        kubectl("apply", "--server-side", "--filename", "-", stdin=json.dumps(filling))
        wanted = (MODELS - 1) * REPLICAS
        filled = until(f"{wanted} Pods", lambda: workers(health) >= wanted)
        ready = until("all workers ready", lambda: all_ready(health, wanted))

        calls = sample(page(health, "/metrics"), "clowder_controller_api_requests_total")
        rounds = sample(page(health, "/metrics"), "clowder_controller_rounds_total")
        cpu, began = cpu_seconds(controller.pid), time.monotonic()
        kubectl("apply", "--server-side", "--filename", "-", stdin=json.dumps(model("last")))
        placed = until("its Pods", lambda: pods("last") >= REPLICAS)
        until("its workers ready", lambda: all_ready(health, wanted + REPLICAS))
        settled, used = time.monotonic() - began, cpu_seconds(controller.pid) - cpu
        text = page(health, "/metrics")
        nodes = int(sample(text, "clowder_controller_nodes"))
        calls = sample(text, "clowder_controller_api_requests_total") - calls
        rounds = sample(text, "clowder_controller_rounds_total") - rounds
        until("the gateway has seen them", lambda: '"last"' in page(port, "/v1/models"))
        quiet = cpu_seconds(controller.pid), cpu_seconds(gateway.pid)
        time.sleep(30)
        idle = cpu_seconds(controller.pid) - quiet[0], cpu_seconds(gateway.pid) - quiet[1]
        print(f"{nodes} nodes, {wanted + REPLICAS} worker Pods, {MODELS} models")
        print(f"  {wanted} Pods created in {filled:.1f} s, all ready {ready:.1f} s later")
        print(f"  apply of a Model with {REPLICAS} replicas -> all Pods created: {placed:.2f} s; all ready: {settled:.1f} s")
        print(f"  for it: {calls:.0f} API requests in {rounds:.0f} rounds, {used:.2f} s of the controller's CPU")
        print(f"  controller: RSS {memory(controller.pid, 'Rss'):.0f} MiB, idle CPU {idle[0]:.2f} s in 30 s")
        print(f"  gateway: RSS {memory(gateway.pid, 'Rss'):.0f} MiB, idle CPU {idle[1]:.2f} s in 30 s")


def all_ready(health: int, wanted: int) -> bool:
    ready = re.search(r'^clowder_controller_workers\{phase="ready"\} (\d+)', page(health, "/metrics"), re.MULTILINE)
    return ready is not None and int(ready[1]) >= wanted


if __name__ == "__main__":
    main()
