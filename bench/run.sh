#!/usr/bin/env bash
# All benchmarks, in order: run.sh PATH-TO-CLOWDER
set -euo pipefail

clowder=$(realpath "$1")
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

python3 "$here/startup.py" "$clowder"
python3 "$here/idle.py" "$clowder"
peer=$("$here/peer.sh")
python3 "$here/throughput.py" "$clowder" "$peer"
