#!/usr/bin/env bash
# Gives an image to each real node of a cluster: load-image.sh [--dir FOLDER] ARCHIVE
#
# ARCHIVE is an OCI archive as image.sh writes it. Pods that use it want imagePullPolicy Never or IfNotPresent.
set -euo pipefail

# shellcheck source=tools/cluster/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=tools/cluster/lib/process.sh
. "$here/lib/process.sh"
# shellcheck source=tools/cluster/lib/node.sh
. "$here/lib/node.sh"

if [ "${1:-}" = --dir ]; then
    use_dir "${2:-}"
    shift 2
fi
[ $# -eq 1 ] || die "usage: load-image.sh [--dir FOLDER] ARCHIVE"
[ -r "$1" ] || die "cannot read $1"
load_settings
[ "$nodes" -gt 0 ] || die "the cluster in $dir has no real nodes"
for node in $(node_names); do
    import "$node" <"$1"
done
