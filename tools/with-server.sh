#!/usr/bin/env bash
# Runs a command against a server of its own: with-server.sh PATH-TO-CLOWDER COMMAND [ARGUMENT …]
#
# `clowder serve` gets a free port of the loopback interface and a state folder that is gone afterwards. The command finds
# them in CLOWDER_URL, CLOWDER_HOME and CLOWDER; it starts once kitten answers.
set -euo pipefail

CLOWDER=$(realpath "$1")
shift
work=$(mktemp -d)
server=

finish() {
    status=$?
    if [ -n "$server" ] && kill -0 "$server" 2>/dev/null; then
        kill -TERM "$server"
        wait "$server" || true
    fi
    if [ "$status" -ne 0 ] && [ -f "$work/log" ]; then
        echo "--- the server's last words" >&2
        tail -n 40 "$work/log" >&2
    fi
    rm -rf "$work"
}
trap finish EXIT

export CLOWDER CLOWDER_HOME=$work/home
"$CLOWDER" serve --address 127.0.0.1:0 >"$work/said" 2>"$work/log" &
server=$!
# The last thing a server says at its start is a curl line to try: then the model answers.
for _ in $(seq 600); do
    if grep -q 'curl ' "$work/said" || ! kill -0 "$server"; then break; fi
    sleep 0.1
done
grep -q 'curl ' "$work/said"
CLOWDER_URL=$(cat "$CLOWDER_HOME/address")
export CLOWDER_URL
"$@"
