"""Checks installations: folders of manifests, or files that helm rendered. tools/check-manifests.sh calls it."""

import argparse
import json
import re
import sys
from pathlib import Path

import jsonschema
import yaml

from kubernetes_validate import utils

ROOT = Path(__file__).resolve().parents[2]
CLUSTER_WIDE = {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "Namespace", "PriorityClass"}
# What a restricted Pod may mount; a folder of the node is allowed to these two alone.
RESTRICTED_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
MOUNTS_NODE = {"clowder-storage"}
# The one container that runs as root, with the one capability that it is for.
ROOT_CONTAINERS = {("clowder-storage", "own-cache"): ["CHOWN"]}


class Tally:
    """What was checked, and what was wrong with it."""

    def __init__(self, errors):
        self.documents = self.schemas = self.rules = 0
        self.errors = errors

    def rule(self, holds, message):
        self.rules += 1
        if not holds:
            self.error(message)

    def error(self, message):
        self.errors += 1
        print(message, file=sys.stderr)


def strict(schema):
    """A CRD's schema as JSON schema in which an object has no other fields than those that are named."""
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    said = {key: value for key, value in schema.items() if not key.startswith("x-") and key != "nullable"}
    if "properties" in said:
        said["properties"] = {name: strict(value) for name, value in said["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            said.setdefault("additionalProperties", False)
    for key in ("items", "additionalProperties"):
        if isinstance(said.get(key), dict):
            said[key] = strict(said[key])
    if schema.get("nullable") and "type" in said:
        said["type"] = [said["type"], "null"]
        if "enum" in said:
            said["enum"] = [*said["enum"], None]
    return said


def custom_schemas(paths):
    """JSON schemas of the resources that these CRDs define, by (apiVersion, kind)."""
    schemas = {}
    for path in paths:
        for crd in filter(None, yaml.safe_load_all(Path(path).read_text())):
            spec = crd["spec"]
            for version in spec["versions"]:
                schema = strict(version["schema"]["openAPIV3Schema"])
                schema["properties"] |= {
                    "apiVersion": {"const": f"{spec['group']}/{version['name']}"},
                    "kind": {"const": spec["names"]["kind"]},
                    "metadata": {"type": "object", "required": ["name"]},
                }
                schema["required"] = sorted({*schema.get("required", []), "apiVersion", "kind", "metadata"})
                schemas[f"{spec['group']}/{version['name']}", spec["names"]["kind"]] = schema
    return schemas


def documents(path):
    files = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
    return [document for file in files for document in yaml.safe_load_all(file.read_text()) if document]


def label(document):
    return f"{document['kind']} {document['metadata']['name']}"


def validate(document, where, versions, custom, tally):
    """Against the schema of its kind: Kubernetes' own of each version, or that of its CRD."""
    schema = custom.get((document["apiVersion"], document["kind"]))
    if schema is not None:
        tally.schemas += 1
        for error in jsonschema.Draft202012Validator(schema).iter_errors(document):
            tally.error(f"{where}: {label(document)}: {error.json_path}: {error.message}")
        return
    for version in versions:
        tally.schemas += 1
        try:
            utils.validate(document, version, strict=True)
        except utils.ValidationError as error:
            path = ".".join(str(step) for step in error.path)
            tally.error(f"{where}: {label(document)}: Kubernetes {version}: {path}: {error.message}")
        except utils.SchemaNotFoundError as error:
            tally.error(f"{where}: {label(document)}: {error.message}")


def pod_template(document):
    return document.get("spec", {}).get("template") if document["kind"] in {"Deployment", "DaemonSet", "Job"} else None


def check_pod(document, where, tally):
    """The Pod Security level "restricted", but for what is listed above; probes and resources everywhere."""
    spec = pod_template(document)["spec"]
    workload = document["metadata"]["name"]
    at = f"{where}: {label(document)}"
    pod = spec.get("securityContext", {})
    tally.rule(pod.get("runAsNonRoot") is True, f"{at}: runAsNonRoot is missing")
    tally.rule(pod.get("seccompProfile", {}).get("type") == "RuntimeDefault", f"{at}: seccompProfile is not RuntimeDefault")
    tally.rule(not any(spec.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")), f"{at}: shares a namespace of the node")
    tally.rule("automountServiceAccountToken" in spec, f"{at}: does not say whether it gets a service account token")
    volumes = {volume["name"]: next(key for key in volume if key != "name") for volume in spec.get("volumes", [])}
    for name, kind in volumes.items():
        allowed = kind in RESTRICTED_VOLUMES or kind == "hostPath" and workload in MOUNTS_NODE
        tally.rule(allowed, f"{at}: volume {name} is a {kind}")
    first, main = spec.get("initContainers", []), spec["containers"]
    for container in first + main:
        at_container = f"{at}: container {container['name']}"
        security = container.get("securityContext", {})
        capabilities = security.get("capabilities", {})
        added = ROOT_CONTAINERS.get((workload, container["name"]), [])
        tally.rule(capabilities.get("drop") == ["ALL"], f"{at_container}: does not drop all capabilities")
        tally.rule(capabilities.get("add", []) == added, f"{at_container}: adds capabilities")
        tally.rule(security.get("allowPrivilegeEscalation") is False, f"{at_container}: may escalate its privileges")
        tally.rule(security.get("readOnlyRootFilesystem") is True, f"{at_container}: may write to its root file system")
        tally.rule(not security.get("privileged"), f"{at_container}: is privileged")
        as_root = security.get("runAsUser") == 0 or security.get("runAsNonRoot") is False
        tally.rule(as_root == bool(added), f"{at_container}: runs as root")
        resources = container.get("resources", {})
        asked = {"cpu", "memory"} <= set(resources.get("requests", {})) and "memory" in resources.get("limits", {})
        tally.rule(asked, f"{at_container}: requests of cpu and memory, and a limit of memory are needed")
        image = container["image"].rpartition("/")[2].partition(":")[2]
        tally.rule(image not in {"", "latest", "main"}, f"{at_container}: the image {container['image']} is not pinned")
        for mount in container.get("volumeMounts", []):
            tally.rule(mount["name"] in volumes, f"{at_container}: there is no volume {mount['name']}")
        names = [variable["name"] for variable in container.get("env", [])]
        tally.rule(len(names) == len(set(names)), f"{at_container}: an environment variable is set twice")
    if document["kind"] != "Job":
        for container in main:
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                tally.rule(probe in container, f"{at}: container {container['name']} has no {probe}")


def selects(selector, labels):
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    return all(labels.get(rule["key"]) in rule["values"] for rule in selector.get("matchExpressions", []))


def check_references(all_documents, where, complete, tally):
    """What one resource says of another holds; `complete` installations have all that they speak of."""
    by_kind = {}
    for document in all_documents:
        by_kind.setdefault(document["kind"], {})[document["metadata"]["name"]] = document
    names = [label(document) for document in all_documents]
    tally.rule(len(names) == len(set(names)), f"{where}: a resource is there twice")
    templates = [template for document in all_documents if (template := pod_template(document))]
    # The controller makes these Pods; their labels and port are what the rest speaks of.
    pods = [(template["metadata"]["labels"], template["spec"]["containers"]) for template in templates]
    pods.append(({"app.kubernetes.io/name": "clowder-worker"}, [{"ports": [{"name": "http"}]}]))
    ports = [(labels, {port["name"] for container in containers for port in container.get("ports", [])})
             for labels, containers in pods]
    for document in all_documents:
        at, kind, spec = f"{where}: {label(document)}", document["kind"], document.get("spec", {})
        if template := pod_template(document):
            pod = template["spec"]
            if account := pod.get("serviceAccountName"):
                tally.rule(account in by_kind.get("ServiceAccount", {}), f"{at}: there is no ServiceAccount {account}")
            if priority := pod.get("priorityClassName"):
                known = priority in by_kind.get("PriorityClass", {}) or priority.startswith("system-")
                tally.rule(known, f"{at}: there is no PriorityClass {priority}")
            if "selector" in spec:
                tally.rule(selects(spec["selector"], template["metadata"]["labels"]), f"{at}: does not select its own Pods")
        if kind == "Service":
            chosen = [names for labels, names in ports if selects({"matchLabels": spec["selector"]}, labels)]
            tally.rule(chosen, f"{at}: selects no Pod")
            for port in spec["ports"]:
                tally.rule(all(port["targetPort"] in names for names in chosen), f"{at}: no port is called {port['targetPort']}")
        if kind == "PodDisruptionBudget" or kind == "NetworkPolicy" and complete:
            selector = spec.get("selector") or spec.get("podSelector")
            chosen = [names for labels, names in ports if selects(selector, labels)]
            tally.rule(chosen, f"{at}: selects no Pod")
            wanted = {port["port"] for rule in spec.get("ingress", []) for port in rule.get("ports", [])}
            tally.rule(all(wanted <= names for names in chosen), f"{at}: speaks of ports that the Pods lack: {wanted}")
        if kind in {"RoleBinding", "ClusterRoleBinding"}:
            role = document["roleRef"]
            tally.rule(role["name"] in by_kind.get(role["kind"], {}), f"{at}: there is no {role['kind']} {role['name']}")
            for subject in document["subjects"]:
                known = subject["name"] in by_kind.get("ServiceAccount", {})
                tally.rule(known, f"{at}: there is no ServiceAccount {subject['name']}")
        if kind in {"Role", "ClusterRole"}:
            everything = any("*" in rule[key] for rule in document["rules"] for key in ("apiGroups", "resources", "verbs"))
            tally.rule(not everything, f"{at}: grants everything of some kind")
        if kind == "Ingress":
            for rule in spec["rules"]:
                for path in rule["http"]["paths"]:
                    service = path["backend"]["service"]["name"]
                    tally.rule(service in by_kind.get("Service", {}), f"{at}: there is no Service {service}")
        if kind not in CLUSTER_WIDE:
            tally.rule(document["metadata"].get("namespace") == where, f"{at}: is not in the namespace {where}")


def check_tokens(all_documents, where, helm, tally):
    """No token is in a manifest; one that helm makes is random, and long."""
    values = []
    for document in all_documents:
        if document["kind"] == "Secret":
            values += document.get("data", {}).values()
            tally.rule(helm, f"{where}: {label(document)}: a Secret in a file")
    tally.rule(len(values) == len(set(values)), f"{where}: two tokens are the same")
    tally.rule(all(len(value) >= 57 for value in values), f"{where}: a token is shorter than 43 characters")


def check_copies(copy, original, tally):
    """Two folders hold the same resources, however they are written."""
    one, other = ({label(document): document for document in documents(folder)} for folder in (copy, original))
    for name in sorted(one.keys() | other.keys()):
        same = one.get(name) == other.get(name)
        tally.rule(same, f"{copy}: {name} is not what it is made from: run tools/check-manifests.sh --write")


def metrics_of_sources():
    """The names of all metrics that the programs expose, as their sources register them."""
    names = set()
    for path in ("clowder-balancer/src/metrics.rs", "clowder-runtime/src/server/metrics.rs",
                 "bins/clowder-controller/src/health.rs"):
        text = (ROOT / path).read_text()
        prefix = re.search(r'with_prefix\("(\w+)"\)', text)[1]
        for name in re.findall(r'\.register\(\s*"(\w+)"', text):
            names |= {f"{prefix}_{name}{suffix}" for suffix in ("", "_total", "_bucket", "_sum", "_count")}
    text = (ROOT / "clowder-storage/src/api/metrics.rs").read_text()
    names |= {f"clowder_storage_{name}" for name in re.findall(r'metric\(\s*"(\w+)"', text)}
    return names


def check_dashboard(tally):
    """The dashboard asks for metrics that there are, once each panel, and its panels do not overlap."""
    known = metrics_of_sources()
    dashboard = json.loads((ROOT / "charts/clowder/dashboards/clowder.json").read_text())
    asked = [variable["query"]["query"] for variable in dashboard["templating"]["list"] if variable["type"] == "query"]
    taken = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        tally.rule(not cells & taken, f"dashboard: panel {panel['title']} covers another")
        taken |= cells
        asked += [target["expr"] for target in panel.get("targets", [])]
    for expression in asked:
        for name in re.findall(r"\bclowder_(?:gateway|worker|controller|storage)_\w+", expression):
            tally.rule(name in known, f"dashboard: no program exposes {name}")


def check_documentation(custom, tally):
    """Every Model that the documentation shows is one that the cluster takes."""
    for path in (ROOT / "docs/kubernetes.md", ROOT / "clowder-k8s/README.md"):
        for block in re.findall(r"```yaml\n(.*?)```", path.read_text(), re.DOTALL):
            for document in yaml.safe_load_all(block):
                if isinstance(document, dict) and document.get("kind") == "Model":
                    tally.documents += 1
                    validate(document, path.relative_to(ROOT), [], custom, tally)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--earlier-errors", type=int, default=0, help="errors that the caller found already")
    parser.add_argument("--versions", nargs="+", required=True, help="versions of Kubernetes")
    parser.add_argument("--crds", nargs="+", required=True, help="definitions of custom resources")
    parser.add_argument("--installations", nargs="+", type=Path, required=True, help="folders, or rendered files")
    parser.add_argument("--copies", nargs="+", type=Path, default=[], help="folders, each followed by what it is made from")
    arguments = parser.parse_args()
    tally = Tally(arguments.earlier_errors)
    missing = [version for version in arguments.versions
               if not any(utils.major_minor(known) == version for known in utils.all_versions())]
    tally.rule(not missing, f"there are no schemas of Kubernetes {missing}")
    custom = custom_schemas(arguments.crds)
    for path in arguments.installations:
        # A folder is the default installation; a rendered file is named like its namespace.
        where = "clowder" if path.is_dir() else path.stem
        found = documents(path)
        tally.rule(found, f"{path}: nothing is there")
        tally.documents += len(found)
        for document in found:
            validate(document, where, arguments.versions, custom, tally)
            if pod_template(document):
                check_pod(document, where, tally)
        complete = any(document["kind"] == "DaemonSet" for document in found)
        check_references(found, where, complete, tally)
        check_tokens(found, where, path.is_file(), tally)
    for copy, original in zip(arguments.copies[::2], arguments.copies[1::2], strict=True):
        check_copies(copy, original, tally)
    check_dashboard(tally)
    check_documentation(custom, tally)
    print(f"manifests: {tally.documents} documents, {tally.schemas} validations "
          f"(Kubernetes {', '.join(arguments.versions)}), {tally.rules} rules, {tally.errors} errors")
    return 1 if tally.errors else 0


if __name__ == "__main__":
    sys.exit(main())
