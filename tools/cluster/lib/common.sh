# shellcheck shell=bash
# What every script of the cluster shares: where it is, how it speaks, what it knows about itself.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
dir=${CLOWDER_CLUSTER_DIR:-${TMPDIR:-/tmp}/clowder-cluster}

say() { printf '%s\n' "$*" >&2; }

die() {
    say "$(basename "$0"): $*"
    exit 1
}

# use_dir PATH: the folder of this cluster, absolute.
use_dir() {
    [ -n "${1:-}" ] || die "--dir wants a folder"
    dir=$(realpath -m -- "$1")
}

# load_settings: what up.sh has decided about the cluster in $dir (kind, nodes, network, programs, …).
load_settings() {
    use_dir "$dir"
    [ -f "$dir/settings" ] || die "there is no cluster in $dir; tools/cluster/up.sh starts one"
    # shellcheck source=/dev/null
    . "$dir/settings"
}

# node_names: the real nodes, one a line.
node_names() {
    local i
    for ((i = 1; i <= nodes; i++)); do echo "node$i"; done
}

# kubectl with the cluster's administrator, whatever KUBECONFIG says.
kube() { "$programs/kubectl" --kubeconfig "$dir/kubeconfig" "$@"; }

# last_words NAME …: the end of these components' logs.
last_words() {
    local name
    for name; do
        [ -s "$dir/log/$name.log" ] || continue
        say "--- the end of $dir/log/$name.log"
        tail -n 15 "$dir/log/$name.log" >&2
    done
}
