"""The end of the installation by kubectl. The last of these files by its name: nothing of Clowder is there after it."""

import json
from pathlib import Path

from conftest import ROOT, Gateway, eventually, kubectl, model, run


def test_nothing_is_left(gateway: Gateway):
    kubectl("apply", "--filename", "-", stdin=model("last"))
    kubectl("wait", "--for=condition=Ready", "model/last", "--timeout=180s")
    # As docs/kubernetes.md says.
    kubectl("delete", "models", "--all")
    kubectl("wait", "--for=delete", "pod", "--selector=app.kubernetes.io/name=clowder-worker", "--timeout=15m")
    kubectl("delete", "--filename", str(Path(ROOT) / "k8s"), "--ignore-not-found")
    eventually("nothing is left", lambda: not left())


def left() -> list[str]:
    """What of the whole cluster carries Clowder's name."""
    kinds = kubectl("api-resources", "--verbs=list", "--output=name").split()
    kinds = [kind for kind in kinds if not kind.startswith("events")]
    listed = json.loads(run("kubectl", "get", ",".join(kinds), "--all-namespaces", "--output=json"))["items"]
    of_ours = lambda item: "clowder" in item["metadata"]["name"] or item["metadata"].get("namespace") == "clowder"
    return [f"{item['kind']}/{item['metadata']['name']}" for item in listed if of_ours(item)]
