#!/usr/bin/env bash
# Starts a Kubernetes cluster for tests on this machine; where it already runs, sees that all of it does:
#   up.sh [--dir FOLDER] [--nodes N] [--node-memory BYTES] [--kwok N] [--apiserver-only]
#
#   --dir FOLDER         where everything the cluster writes is (default: $CLOWDER_CLUSTER_DIR, else clowder-cluster in
#                        $TMPDIR); two clusters with two folders run side by side
#   --nodes N            real nodes, each a kubelet with containerd (default 2; 0 needs no root)
#   --node-memory BYTES  memory that a node offers to Pods (default: three quarters of the machine's, divided by the nodes)
#   --kwok N             nodes without machines (default 0)
#   --apiserver-only     etcd and the API server alone, for tests of the API
set -euo pipefail

# shellcheck source=tools/cluster/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
for part in process packages certificates network cgroups control-plane node dns kwok; do
    # shellcheck source=/dev/null
    . "$here/lib/$part.sh"
done

number() { [[ $2 =~ ^[0-9]+$ ]] || die "$1 wants a number, not '$2'"; }

kind=nodes nodes=2 kwok=0 node_memory=
while [ $# -gt 0 ]; do
    case $1 in
        --dir) use_dir "${2:-}"; shift 2 ;;
        --nodes) number "$1" "${2:-}"; nodes=$2; shift 2 ;;
        --node-memory) number "$1" "${2:-}"; node_memory=$2; shift 2 ;;
        --kwok) number "$1" "${2:-}"; kwok=$2; shift 2 ;;
        --apiserver-only) kind=apiserver; shift ;;
        *) die "unknown argument '$1'; $0 begins with what there is" ;;
    esac
done
use_dir "$dir"
[ "$nodes" -le 16 ] || die "--nodes: 16 at most"
[ "$kind" = apiserver ] && nodes=0
[ "$kind" = nodes ] && [ "$nodes" -eq 0 ] && kind=loopback
[ "$kind" = apiserver ] && [ "$kwok" -gt 0 ] && die "--kwok needs more than the API server; use --nodes 0"
case $dir/ in
    /run/* | /var/lib/* | /var/log/* | /var/run/*) die "nodes have folders of their own in place of /run, /var/lib and /var/log: choose another --dir than $dir" ;;
esac

# free_port: a port of the loopback interface that nothing listens on.
free_port() {
    local port
    while :; do
        port=$((20000 + RANDOM % 12000))
        if ! (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "$port"
            return
        fi
    done
}

wanted=(etcd kube-apiserver kubectl)
[ "$kind" = apiserver ] || wanted+=(kube-controller-manager kube-scheduler)
[ "$kind" = nodes ] && wanted+=(kubelet kube-proxy coredns pause helm)
[ "$kwok" -gt 0 ] && wanted+=(kwok)
install_missing
built=$("$here/build.sh" "${wanted[@]}")

(umask 077 && mkdir -p "$dir")
[ -f "$dir/settings" ] || [ -z "$(ls -A "$dir")" ] || die "$dir is not empty and not a cluster's: choose another --dir"
mkdir -p "$dir"/{run,log}
# One start at a time for all clusters of this checkout: they choose free ports and networks.
exec 9<"$here"
flock 9

if [ -f "$dir/settings" ]; then
    asked="$kind $nodes"
    # shellcheck source=/dev/null
    . "$dir/settings"
    [ "$asked" = "$kind $nodes" ] || die "another kind of cluster is in $dir ($kind, $nodes nodes): tools/cluster/down.sh --dir $dir ends it"
    [ "$kind" != nodes ] || alive network || die "the cluster in $dir has lost its network: tools/cluster/down.sh --dir $dir clears it away"
else
    id=$(sha256sum <<<"$dir" | cut -c 1-6)
    if [ "$kind" = nodes ]; then
        network=$(free_network)
        etcd_port=2379 peer_port=2380 api_port=6443
        api=https://$(control_plane_address):$api_port
        if [ -z "$node_memory" ]; then
            node_memory=$(awk -v nodes="$nodes" '/^MemTotal:/ { printf "%.0f", $2 * 1024 * 3 / 4 / nodes }' /proc/meminfo)
        fi
    else
        network=10.99
        etcd_port=$(free_port) peer_port=$(free_port) api_port=$(free_port)
        api=https://127.0.0.1:$api_port
    fi
    for name in kind nodes id network etcd_port peer_port api_port api node_memory; do
        printf '%s=%q\n' "$name" "${!name}"
    done >"$dir/settings"
    printf 'programs=%q\npause_image=clowder.test/pause:1\n' "$built" >>"$dir/settings"
    # shellcheck source=/dev/null
    . "$dir/settings"
fi

if [ "$kind" = nodes ]; then start_network; fi
make_authority
issue_control_plane
start_etcd
start_apiserver
if [ "$kind" != apiserver ]; then start_controllers; fi
if [ "$kind" = nodes ]; then
    make_images
    for node in $(node_names); do
        start_node "$node"
        load_images "$node"
    done
    await_nodes
    install_dns
fi
if [ "$kwok" -gt 0 ]; then
    start_kwok
    kube get node "kwok-$((kwok - 1))" >/dev/null 2>&1 || add_kwok_nodes "$kwok"
    await "$kwok nodes of kwok" 300 kwok kube wait --for=condition=Ready node -l type=kwok --timeout=300s
fi
say "The cluster runs. To use it: eval \"\$(tools/cluster/env.sh --dir $dir)\""
