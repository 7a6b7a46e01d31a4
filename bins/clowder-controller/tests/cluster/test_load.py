"""What must not cost a single request."""

import json
import time

import pytest

from conftest import OURS, Gateway, Load, component, eventually, is_ready, kubectl, read, workers


def settle() -> None:
    eventually("two workers", lambda: sum(map(is_ready, workers("kitten"))) == 2)


def test_a_worker_is_deleted(load: Load):
    victim = workers("kitten")[0]["metadata"]["uid"]
    kubectl("delete", "pod", workers("kitten")[0]["metadata"]["name"], "--wait=false")
    eventually("another Pod", lambda: victim not in [pod["metadata"]["uid"] for pod in workers("kitten")])
    settle()


def test_settings_roll_over(load: Load):
    before = {pod["metadata"]["name"] for pod in workers("kitten")}
    kubectl("patch", "model/kitten", "--type=merge", "--patch", json.dumps({"spec": {"engine": {"slots": 2}}}))
    eventually("other workers", lambda: not before & {pod["metadata"]["name"] for pod in workers("kitten")})
    settle()


def test_a_node_is_drained(load: Load):
    node = workers("kitten")[0]["spec"]["nodeName"]
    kubectl("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=170s")
    try:
        eventually("the node is left", lambda: all(pod["spec"].get("nodeName") != node for pod in workers("kitten")))
        settle()
    finally:
        kubectl("uncordon", node)


@pytest.mark.parametrize("workload", ["clowder-gateway", "clowder-controller"])
def test_a_component_restarts(load: Load, workload: str):
    kubectl("rollout", "restart", f"deployment/{workload}")
    kubectl("rollout", "status", f"deployment/{workload}", "--timeout=170s")


def test_the_leader_goes(load: Load, gateway: Gateway):
    leader = read("lease", "clowder-controller")["spec"]["holderIdentity"]
    kubectl("delete", "pod", leader, "--grace-period=0", "--force")
    eventually("another leader", lambda: read("lease", "clowder-controller")["spec"].get("holderIdentity") not in ("", None, leader))
    kubectl("scale", "model/kitten", "--replicas=3")
    eventually("three workers", lambda: sum(map(is_ready, workers("kitten"))) == 3)


@pytest.mark.skipif(not OURS, reason="the API server of a cluster that is not ours stays")
def test_the_api_server_goes_for_a_minute(load: Load):
    component("stop", "kube-apiserver")
    # How long it is away is what is tested.
    time.sleep(60)
    component("start", "kube-apiserver")
    eventually("an answer", lambda: "kitten" in kubectl("get", "models", check=False))
    kubectl("scale", "model/kitten", "--replicas=1")
    eventually("one worker", lambda: len(workers("kitten")) == 1)


@pytest.mark.skipif(not OURS, reason="the nodes of a cluster that is not ours stay")
def test_a_node_is_lost(kitten: str, gateway: Gateway):
    lost = workers(kitten)[0]["spec"]["nodeName"]
    component("kill", f"kubelet-{lost}")
    try:
        told = lambda: "its node does not answer" in str(gateway.model(kitten))
        eventually("the loss is told", told)
        elsewhere = lambda: [pod for pod in workers(kitten) if is_ready(pod) and pod["spec"]["nodeName"] != lost]
        eventually("two workers elsewhere", lambda: len(elsewhere()) == 2)
    finally:
        component("start", f"kubelet-{lost}")
        kubectl("wait", "--for=condition=Ready", f"node/{lost}", "--timeout=120s")


def test_settings_on_trial_become_the_models_own(load: Load, gateway: Gateway):
    def trial() -> dict:
        return read("model", "kitten").get("status", {}).get("canary") or {}

    def patch(spec: dict) -> None:
        kubectl("patch", "model/kitten", "--type=merge", "--patch", json.dumps({"spec": spec}))

    def revisions() -> list[str]:
        return [pod["metadata"]["labels"]["clowder.dev/revision"] for pod in workers("kitten")]

    patch({"rollout": {"canary": {"weight": 30, "engine": {"slots": 2}}}})
    eventually("one worker is on trial", lambda: trial().get("ready") == 1)
    revision = trial()["revision"]
    (worker,) = [pod for pod in workers("kitten") if pod["metadata"]["labels"]["clowder.dev/revision"] == revision]
    patch({"engine": {"slots": 2}, "rollout": {"canary": None}})
    eventually("all run under them", lambda: revisions() == [revision, revision])
    settle()
    assert worker["metadata"]["uid"] in [pod["metadata"]["uid"] for pod in workers("kitten")], "the one on trial stays"
