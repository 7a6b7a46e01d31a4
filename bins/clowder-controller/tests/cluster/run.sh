#!/usr/bin/env bash
# Clowder on a real cluster, as its users install it: run.sh FOLDER, where FOLDER has the programs of the image.
# tools/cluster/with-cluster.sh runs it. On a cluster that is not ours, IMAGE names an image that its nodes can pull.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$here/../../../..
programs=${1:?the folder of the programs}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/clowder/cluster-tests

wanted=$(sha256sum <"$here/requirements.txt" | cut -c1-16)
if [ ! -f "$cache/$wanted/complete" ]; then
    rm -rf "${cache:?}/$wanted"
    python3 -m venv "$cache/$wanted"
    "$cache/$wanted/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
    touch "$cache/$wanted/complete"
fi

if [ -n "${CLOWDER_CLUSTER_DIR:-}" ]; then
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    mkdir "$scratch/programs"
    for program in clowder clowder-gateway clowder-controller clowder-runtime clowder-storage; do
        cp "$programs/$program" "$scratch/programs/"
    done
    # The storage manager's Pod gives its folder to the image's user with it.
    cp "$(command -v chown)" "$scratch/programs/"
    "$root/tools/cluster/image.sh" "$scratch/programs" clowder:dev "$scratch/clowder.tar"
    "$root/tools/cluster/load-image.sh" "$scratch/clowder.tar"
fi
CLOWDER=$programs/clowder "$cache/$wanted/bin/python" -m pytest -v -p no:cacheprovider "$here"
