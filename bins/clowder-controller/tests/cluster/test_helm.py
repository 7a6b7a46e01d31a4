"""Install, upgrade and uninstall by helm, beside the installation by kubectl."""

import json
from collections.abc import Iterator

import pytest

from conftest import PATIENCE, ROOT, Gateway, Load, await_installation, eventually, kubectl, model, read, run

NAMESPACE = "clowder-by-helm"
CHART = str(ROOT / "charts" / "clowder")
# Of its own where two installations share the nodes; Open WebUI's image is not ours.
VALUES = ["--set", f"storage.hostPath=/var/lib/{NAMESPACE}", "--set", "openWebUI.enabled=false"]
# What docs/kubernetes.md says is left in the namespace after the Models went and the release with them; the rest is what
# Kubernetes itself keeps in every namespace.
LEFT = {"lease.coordination.k8s.io/clowder-controller", "configmap/kube-root-ca.crt", "serviceaccount/default"}


def helm(*arguments: str) -> str:
    return run("helm", "--namespace", NAMESPACE, *arguments)


@pytest.fixture(scope="module")
def release(gateway: Gateway) -> Iterator[Gateway]:
    """An installation by helm."""
    kubectl("create", "namespace", NAMESPACE)
    kubectl("label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=privileged")
    notes = helm("install", "clowder", CHART, *VALUES)
    assert f"kubectl -n {NAMESPACE} port-forward service/clowder-gateway" in notes, notes
    await_installation(NAMESPACE)
    yield Gateway(NAMESPACE)
    kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def test_a_release_is_installed_upgraded_and_uninstalled(release: Gateway):
    resource = json.loads(model("kitten", replicas=1))
    kubectl("apply", "--filename", "-", stdin=json.dumps(resource), namespace=NAMESPACE)
    kubectl("wait", "--for=condition=Ready", "model/kitten", f"--timeout={PATIENCE:.0f}s", namespace=NAMESPACE)
    assert "Clowder" in release.ask("kitten")

    load = Load(release, "kitten")
    helm("upgrade", "clowder", CHART, "--reset-then-reuse-values", "--set", "gateway.drainSeconds=60")
    await_installation(NAMESPACE)
    requests = load.stop()
    assert requests["failed"] == 0 and requests["ok"] > 0, requests
    upgraded = Gateway(NAMESPACE)
    assert (upgraded.admin, upgraded.key) == (release.admin, release.key), "an upgrade keeps the tokens"
    assert read("deployment", "clowder-gateway", NAMESPACE)["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 75

    # As docs/kubernetes.md says.
    kubectl("delete", "models", "--all", namespace=NAMESPACE)
    kubectl("wait", "--for=delete", "pod", "--selector=app.kubernetes.io/name=clowder-worker", "--timeout=15m", namespace=NAMESPACE)
    helm("uninstall", "clowder")
    eventually("nothing is left", lambda: left() <= LEFT)


def left() -> set[str]:
    """All that is in the namespace, but what happened in it."""
    kinds = kubectl("api-resources", "--verbs=list", "--namespaced", "--output=name").split()
    kinds = [kind for kind in kinds if not kind.startswith("events")]
    return set(kubectl("get", ",".join(kinds), "--output=name", namespace=NAMESPACE).split())
