#!/usr/bin/env bash
# Prints what a shell needs to use a cluster, for eval: env.sh [--dir FOLDER]
set -euo pipefail

# shellcheck source=tools/cluster/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

while [ $# -gt 0 ]; do
    case $1 in
        --dir) use_dir "${2:-}"; shift 2 ;;
        *) die "unknown argument '$1'; there is --dir FOLDER" ;;
    esac
done
load_settings
printf 'export KUBECONFIG=%q\n' "$dir/kubeconfig"
printf 'export PATH=%q:%s\n' "$programs" "\"\$PATH\""
printf 'export CLOWDER_CLUSTER_DIR=%q\n' "$dir"
