"""What each component's service account may do: what it needs, and nothing else."""

import json

import pytest

from conftest import NAMESPACE, Gateway, kubectl

WATCH = {"get", "list", "watch"}
# In the namespace of the installation.
RIGHTS = {
    "clowder-controller": {
        "models.clowder.dev": WATCH,
        "models/status.clowder.dev": {"get", "patch", "update"},
        "pods": WATCH | {"create", "patch", "delete"},
        "secrets": {"get", "create", "patch"},
        "poddisruptionbudgets.policy": WATCH | {"create", "patch", "delete"},
        "leases.coordination.k8s.io": {"get", "create", "update", "patch"},
        "events": {"create", "patch"},
        "events.events.k8s.io": {"create", "patch"},
        "nodes": WATCH,
    },
    "clowder-gateway": {
        "models.clowder.dev": WATCH | {"create", "update", "patch", "delete"},
        "models/status.clowder.dev": {"get"},
        "pods": WATCH,
        "pods/log": {"get"},
        "secrets": {"get", "create", "patch"},
        "nodes": WATCH,
    },
    "clowder-storage": {},
    "clowder-worker": {},
}
# Everywhere else.
ELSEWHERE = {"clowder-controller": {"nodes": WATCH}, "clowder-gateway": {"nodes": WATCH}}
# What whoever is known to a cluster may ask of it: about themselves.
EVERYBODYS = {"authentication.k8s.io", "authorization.k8s.io", "certificates.k8s.io"}


def as_account(account: str) -> str:
    return f"--as=system:serviceaccount:{NAMESPACE}:{account}"


def rights(account: str, namespace: str) -> dict[str, set[str]]:
    """The verbs for each resource, as the API server's own review tells them."""
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": namespace}}
    answer = kubectl("create", as_account(account), "--validate=false", "--filename=-", "--output=json", stdin=json.dumps(review))
    told: dict[str, set[str]] = {}
    for rule in json.loads(answer)["status"]["resourceRules"]:
        assert not rule.get("resourceNames"), rule
        for group in rule.get("apiGroups", []):
            if group in EVERYBODYS:
                continue
            for resource in rule["resources"]:
                told.setdefault(f"{resource}.{group}".rstrip("."), set()).update(rule["verbs"])
    return told


@pytest.mark.parametrize("account", RIGHTS)
def test_an_account_has_these_rights_and_no_others(gateway: Gateway, account: str):
    assert rights(account, NAMESPACE) == RIGHTS[account]
    assert rights(account, "default") == ELSEWHERE.get(account, {})


@pytest.mark.parametrize(
    ("account", "call"),
    [
        ("clowder-gateway", ["delete", "pod/clowder-controller-0"]),
        ("clowder-gateway", ["get", "secrets"]),
        ("clowder-gateway", ["get", "deployments"]),
        ("clowder-gateway", ["get", "pods", "--namespace=kube-system"]),
        ("clowder-controller", ["delete", "model/kitten"]),
        ("clowder-controller", ["get", "secrets"]),
        ("clowder-controller", ["get", "secret/clowder-tokens", "--namespace=kube-system"]),
        ("clowder-controller", ["cordon", "--selector=kubernetes.io/os"]),
        ("clowder-storage", ["get", "pods"]),
        ("clowder-worker", ["get", "models"]),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_a_call_beyond_them_is_denied(gateway: Gateway, account: str, call: list[str]):
    said = kubectl(*call, as_account(account), check=False)
    assert "is forbidden" in said or "Forbidden" in said, said


def test_workers_and_storage_managers_have_no_token_of_the_cluster(gateway: Gateway, kitten: str):
    for name in ("clowder-worker", "clowder-storage"):
        pods = json.loads(kubectl("get", "pods", f"--selector=app.kubernetes.io/name={name}", "--output", "json"))["items"]
        assert pods
        for pod in pods:
            containers = pod["spec"]["containers"] + pod["spec"].get("initContainers", [])
            mounts = [mount for container in containers for mount in container.get("volumeMounts", [])]
            assert not any("serviceaccount" in mount["mountPath"] for mount in mounts), pod["metadata"]["name"]
