#!/usr/bin/env bash
# Builds the cluster's programs from the module beside it, once, and prints the folder they are in:
#   build.sh            all of them
#   build.sh NAME …     these, for who needs only some: etcd, kube-apiserver, kubectl, helm, …
#
# The folder is named by what went into it (versions, own sources, Go), so that a cache never serves another version.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

declare -A package=(
    [etcd]=go.etcd.io/etcd/server/v3
    [kube-apiserver]=k8s.io/kubernetes/cmd/kube-apiserver
    [kube-controller-manager]=k8s.io/kubernetes/cmd/kube-controller-manager
    [kube-scheduler]=k8s.io/kubernetes/cmd/kube-scheduler
    [kubelet]=k8s.io/kubernetes/cmd/kubelet
    [kube-proxy]=k8s.io/kubernetes/cmd/kube-proxy
    [kubectl]=k8s.io/kubernetes/cmd/kubectl
    [kwok]=sigs.k8s.io/kwok/cmd/kwok
    [helm]=helm.sh/helm/v4/cmd/helm
    [coredns]=./coredns
    [pause]=./pause
)

[ $# -gt 0 ] || set -- "${!package[@]}"
for name; do
    [ -n "${package[$name]:-}" ] || { echo "build.sh: no program is called $name; there are: ${!package[*]}" >&2; exit 2; }
done
command -v go >/dev/null || { echo "The test cluster is built with Go: install Go 1.26 or newer from https://go.dev/dl" >&2; exit 1; }

export GOTOOLCHAIN=local CGO_ENABLED=0 GOFLAGS=-buildvcs=false
key=$({ go version; cat go.mod go.sum coredns/*.go pause/*.go; } | sha256sum | cut -c 1-16)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/clowder/cluster/$key

# lacking NAME …: those that are not built yet.
lacking() {
    local name
    for name; do
        [ -x "$cache/$name" ] || echo "$name"
    done
}

if [ -n "$(lacking "$@")" ]; then
    mkdir -p "$cache"
    exec 9<"$cache"
    flock 9
    # Clients and servers compare each other's versions; a build outside the release process has to be told its own.
    kubernetes=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
    IFS=. read -r major minor _ <<<"${kubernetes#v}"
    version=k8s.io/component-base/version
    flags="-s -w -X $version.gitVersion=$kubernetes -X $version.gitMajor=$major -X $version.gitMinor=$minor"
    flags+=" -X helm.sh/helm/v4/internal/version.version=$(go list -m -f '{{.Version}}' helm.sh/helm/v4)"
    for name in $(lacking "$@"); do
        echo "Building $name (${package[$name]}), once" >&2
        nice -n 5 go build -trimpath -ldflags "$flags" -o "$cache/.$name" "${package[$name]}"
        if [ "$name" = kwok ]; then
            # What kwok's nodes and Pods do is data that comes with its source.
            stages=$(go list -m -f '{{.Dir}}' sigs.k8s.io/kwok)/kustomize/stage
            for stage in node/fast/node-initialize node/heartbeat-with-lease/node-heartbeat-with-lease \
                pod/fast/pod-ready pod/fast/pod-complete pod/fast/pod-delete; do
                echo ---
                cat "$stages/$stage.yaml"
            done >"$cache/stages.yaml"
        fi
        mv "$cache/.$name" "$cache/$name"
    done
fi
printf '%s\n' "$cache"
