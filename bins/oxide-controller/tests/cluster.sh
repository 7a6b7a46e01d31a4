#!/usr/bin/env bash
# The tests of this program that need an API server: builds one, with etcd, and has the tests start both as the machines of
# a simulated rack would.
#   cluster.sh [ARGUMENT …]    arguments go to cargo test
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."

CLOWDER_CLUSTER_PROGRAMS=$(tools/cluster/build.sh etcd kube-apiserver)
export CLOWDER_CLUSTER_PROGRAMS
# The whole workspace is named so that what is built for the other tests serves here too.
cargo test --locked --workspace --features oxide-controller/cluster-tests --test rack "$@"
