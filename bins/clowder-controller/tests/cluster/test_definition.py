"""The definition of Model is upgraded under Models that serve."""

import json

from conftest import ROOT, Gateway, Load, eventually, kubectl, read, workers

# The definition as it was before autoscaling, aliases and priorities.
EARLIER = ROOT / "bins" / "clowder-controller" / "tests" / "cluster" / "earlier" / "models.yaml"
CURRENT = ROOT / "k8s" / "10-models-crd.yaml"


def define(file: str) -> None:
    kubectl("apply", "--server-side", "--force-conflicts", "--filename", file)
    kubectl("wait", "--for=condition=Established", "crd/models.clowder.dev", "--timeout=30s")


def test_the_definition_is_upgraded_under_a_model(load: Load, gateway: Gateway):
    before = {pod["metadata"]["uid"] for pod in workers("kitten")}
    spec = read("model", "kitten")["spec"]
    define(str(EARLIER))
    try:
        assert "Clowder" in gateway.ask("kitten")
    finally:
        define(str(CURRENT))
    priority = lambda: kubectl("patch", "model/kitten", "--type=merge", "--patch", json.dumps({"spec": {"priority": 5}}), check=False)
    eventually("the field of the later definition is kept", lambda: "patched" in priority() and read("model", "kitten")["spec"].get("priority") == 5)
    assert {**read("model", "kitten")["spec"], "priority": None} == {**spec, "priority": None}
    eventually("the status speaks of it", lambda: read("model", "kitten")["status"]["observedGeneration"] == read("model", "kitten")["metadata"]["generation"])
    assert {pod["metadata"]["uid"] for pod in workers("kitten")} == before, "no worker was replaced for it"
