#!/usr/bin/env bash
# The tests of this program that need an API server: builds one, with etcd, and has the tests start both as the machines of
# a simulated rack would.
#   cluster.sh [ARGUMENT …]    arguments go to cargo test
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."

# A tailnet's addresses, which this machine answers to for as long as the tests run; the tests name the same.
addresses=(100.66.43.1 100.66.43.2 100.66.43.3)
[ "$(id -u)" -eq 0 ] || { echo "Addresses of a tailnet are added to this machine for a while: run this as root" >&2; exit 1; }
trap 'for address in "${addresses[@]}"; do ip address delete "$address/32" dev lo 2>/dev/null || true; done' EXIT
for address in "${addresses[@]}"; do ip address replace "$address/32" dev lo; done

CLOWDER_CLUSTER_PROGRAMS=$(tools/cluster/build.sh etcd kube-apiserver)
export CLOWDER_CLUSTER_PROGRAMS
# The whole workspace is named so that what is built for the other tests serves here too.
cargo test --locked --workspace --features oxide-controller/cluster-tests --test rack "$@"
