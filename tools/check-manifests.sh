#!/usr/bin/env bash
# Checks k8s/ and the charts without a cluster:
#   check-manifests.sh           k8s/ and what oxide-controller installs are what the charts render; everything is valid for
#                                all Kubernetes versions below
#   check-manifests.sh --write   writes those and the chart's definition of Model anew first
#
# HELM names the helm to use; without it one is built as for the test cluster. The last line counts; any error ends with 1.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

versions=(1.30 1.34 1.37)
# The release of the Prometheus operator whose definitions the chart's monitors are checked against.
operator=github.com/prometheus-operator/prometheus-operator@v0.85.0
# The files of k8s/, in the order in which kubectl applies them, and the chart's templates that they come from.
files=(
    20-priority-classes 30-rbac 40-network-policies 50-tokens 60-storage 70-controller 80-gateway 90-open-webui
)

write=
case "${1:-}" in
    --write) write=1 ;;
    '') ;;
    *) echo "usage: $0 [--write]" >&2; exit 2 ;;
esac
here=tools/check-manifests
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if [ -z "${HELM:-}" ]; then
    HELM=$(tools/cluster/build.sh helm)/helm
fi
command -v go >/dev/null || { echo "The operator's definitions come by Go: install it from https://go.dev/dl" >&2; exit 1; }

# Python's packages are kept between runs as long as what is asked for is the same.
kept=${XDG_CACHE_HOME:-$HOME/.cache}/clowder/manifests/$(sha256sum $here/requirements.txt | cut -c 1-16)
if [ ! -f "$kept/complete" ]; then
    rm -rf "$kept"
    python3 -m venv "$kept"
    "$kept/bin/pip" install --quiet --disable-pip-version-check -r $here/requirements.txt
    touch "$kept/complete"
fi

render() { "$HELM" template clowder charts/clowder --namespace "$@"; }

# The documents of k8s/: what the chart renders by default, with the tokens made in the cluster.
mkdir -p "$work/k8s"
{
    echo '# Generated from clowder-k8s/crd/models.yaml by tools/check-manifests.sh --write.'
    grep -v '^#' clowder-k8s/crd/models.yaml
} >"$work/k8s/10-models-crd.yaml"
for file in "${files[@]}"; do
    {
        echo '# Generated from charts/clowder by tools/check-manifests.sh --write.'
        render clowder --set tokens.method=job --show-only "templates/${file#*-}.yaml" | grep -v '^# Source: '
    } >"$work/k8s/$file.yaml"
done
cp k8s/00-namespace.yaml "$work/k8s/"
# What oxide-controller installs of itself: its chart in its namespace.
pivot=bins/oxide-controller/src/pivot
mkdir "$work/pivot"
{
    echo '# Generated from charts/oxide-controller by tools/check-manifests.sh --write.'
    "$HELM" template oxide-controller charts/oxide-controller --namespace oxide-controller-system | grep -v '^# Source: '
} >"$work/pivot/manifests.yaml"
if [ -n "$write" ]; then
    cp "$work/pivot/manifests.yaml" $pivot/
    cp "$work"/k8s/*.yaml k8s/
    cp clowder-k8s/crd/models.yaml charts/clowder/crds/models.yaml
fi
errors=0

# Installations as users have them; each is a file of values, and lives in a namespace of its name.
mkdir "$work/variants" "$work/refused"
for values in "$here"/variants/*.yaml; do
    name=$(basename "$values" .yaml)
    "$HELM" lint --strict --quiet charts/clowder --namespace "$name" --values "$values" >&2 || errors=$((errors + 1))
    render "$name" --values "$values" >"$work/variants/$name.yaml" || errors=$((errors + 1))
done
cp "$work/pivot/manifests.yaml" "$work/variants/oxide-controller-system.yaml"
"$HELM" lint --strict --quiet charts/oxide-controller --namespace oxide-controller-system >&2 || errors=$((errors + 1))
# Values that must be refused; the first line of each file is what the refusal must say.
for values in "$here"/refused/*.yaml; do
    says=$(head -n 1 "$values" | cut -c 3-)
    if render clowder --values "$values" >/dev/null 2>"$work/refused/said"; then
        echo "$values is taken, and should be refused" >&2
        errors=$((errors + 1))
    elif ! grep -qF -- "$says" "$work/refused/said"; then
        echo "$values is refused without the words: $says" >&2
        cat "$work/refused/said" >&2
        errors=$((errors + 1))
    fi
done

definitions=$(GOTOOLCHAIN=local GOFLAGS=-mod=mod go mod download -json "$operator" |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["Dir"])')/example/prometheus-operator-crd
"$kept/bin/python" $here/check.py --earlier-errors "$errors" --versions "${versions[@]}" \
    --crds charts/clowder/crds/models.yaml "$definitions"/monitoring.coreos.com_{service,pod}monitors.yaml \
    --copies k8s "$work/k8s" charts/clowder/crds clowder-k8s/crd $pivot "$work/pivot" --installations k8s "$work"/variants/*.yaml
