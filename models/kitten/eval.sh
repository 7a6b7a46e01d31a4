#!/usr/bin/env bash
# kitten's accuracy by skill, through the server that tools/with-server.sh started.
set -euo pipefail
exec python3 "$(dirname "${BASH_SOURCE[0]}")/eval.py" --url "$CLOWDER_URL" "$@"
