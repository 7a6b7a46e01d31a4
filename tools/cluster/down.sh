#!/usr/bin/env bash
# Ends a cluster and removes all it has made: down.sh [--dir FOLDER]
#
# Ends only the processes that up.sh has recorded, and what runs inside its nodes' namespaces.
set -euo pipefail

# shellcheck source=tools/cluster/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
for part in process cgroups network; do
    # shellcheck source=/dev/null
    . "$here/lib/$part.sh"
done

while [ $# -gt 0 ]; do
    case $1 in
        --dir) use_dir "${2:-}"; shift 2 ;;
        *) die "unknown argument '$1'; there is --dir FOLDER" ;;
    esac
done
use_dir "$dir"
[ -f "$dir/settings" ] || exit 0
load_settings

# First who would repair what is taken away, then the nodes as a whole, then what they talk to.
stop kwok
for node in $(node_names); do
    stop "kubelet-$node" 2
    # The end of a node's first process is the end of all its others and of its mounts.
    signal "$node" KILL
    stop "$node"
    for component in kubelet containerd kube-proxy; do stop "$component-$node"; done
done
stop kube-scheduler
stop kube-controller-manager
stop kube-apiserver 2
stop etcd
if [ "$kind" = nodes ]; then
    stop network
    remove_network
    remove_cgroups
fi
rm -rf "$dir"
