#!/usr/bin/env bash
# Runs a command against a cluster: with-cluster.sh [OPTION … --] COMMAND [ARGUMENT …]
#
# The options are those of up.sh, but for --dir.
# Where KUBECONFIG names a cluster that answers, that one is used, and is left as it is. Otherwise a cluster is started for
# the command and ended after it, unless CLOWDER_CLUSTER_DIR names the folder of one that runs already: that is used and kept.
# The command finds KUBECONFIG, kubectl and helm; CLOWDER_CLUSTER_DIR is set where the cluster is one of ours, and only then
# load-image.sh and component.sh can be used.
set -euo pipefail

# shellcheck source=tools/cluster/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
options=()
if [[ ${1:-} == --* ]]; then
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    shift || true
fi
[ $# -gt 0 ] || die "usage: with-cluster.sh [OPTION … --] COMMAND [ARGUMENT …]"

tools=$("$here/build.sh" kubectl helm)
if [ -n "${KUBECONFIG:-}" ]; then
    "$tools/kubectl" get --raw /readyz --request-timeout 10s >/dev/null || die "the cluster of KUBECONFIG=$KUBECONFIG does not answer"
    export PATH=$tools:$PATH
    exec "$@"
fi

if [ -z "${CLOWDER_CLUSTER_DIR:-}" ]; then
    dir=$(mktemp -d "${TMPDIR:-/tmp}/clowder-cluster.XXXXXX")
    trap '"$here/down.sh" --dir "$dir"; rm -rf "$dir"' EXIT
fi
"$here/up.sh" --dir "$dir" "${options[@]}"
eval "$("$here/env.sh" --dir "$dir")"
"$@"
