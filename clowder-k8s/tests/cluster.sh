#!/usr/bin/env bash
# The tests of this crate that need an API server: starts one, runs them against it, and ends it.
#   cluster.sh [ARGUMENT …]    arguments go to cargo test
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

dir=$(mktemp -d "${TMPDIR:-/tmp}/clowder-apiserver.XXXXXX")
trap 'tools/cluster/down.sh --dir "$dir"; rm -rf "$dir"' EXIT
tools/cluster/up.sh --dir "$dir" --apiserver-only
eval "$(tools/cluster/env.sh --dir "$dir")"
# The whole workspace is named so that what is built for the other tests serves here too.
cargo test --locked --workspace --features clowder-k8s/cluster-tests --test cluster "$@"
