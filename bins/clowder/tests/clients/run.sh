#!/usr/bin/env bash
# Runs the clients' tests against a server of their own: run.sh PATH-TO-CLOWDER
set -euo pipefail

clowder=$(realpath "$1")
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/clowder/clients
work=$(mktemp -d)
server=

finish() {
    status=$?
    if [ -n "$server" ] && kill -0 "$server" 2>/dev/null; then
        kill -TERM "$server"
        wait "$server" || true
    fi
    if [ "$status" -ne 0 ] && [ -f "$work/serve.log" ]; then
        echo "--- the server's last words" >&2
        tail -n 40 "$work/serve.log" >&2
    fi
    rm -rf "$work"
}
trap finish EXIT

# The clients, kept between runs as long as what is asked for is the same.
mkdir -p "$cache"
wanted=$(cat "$here/python/requirements.txt" "$here/node/package-lock.json" | sha256sum | cut -c1-16)
python=$cache/$wanted/python
if [ ! -f "$cache/$wanted/complete" ]; then
    rm -rf "${cache:?}/$wanted"
    mkdir -p "$cache/$wanted/node"
    python3 -m venv "$python"
    "$python/bin/pip" install --quiet --disable-pip-version-check -r "$here/python/requirements.txt"
    cp "$here/node/package.json" "$here/node/package-lock.json" "$cache/$wanted/node/"
    (cd "$cache/$wanted/node" && npm ci --silent --no-audit --no-fund)
    touch "$cache/$wanted/complete"
fi

export CLOWDER_HOME=$work/home
"$clowder" serve --address 127.0.0.1:0 >"$work/said" 2>"$work/serve.log" &
server=$!
# The server prints its ready-made curl line last: then the model answers.
for _ in $(seq 600); do
    if grep -q 'curl ' "$work/said"; then break; fi
    kill -0 "$server"
    sleep 0.1
done
grep -q 'curl ' "$work/said"
CLOWDER_ADDRESS=$(cat "$CLOWDER_HOME/address")
export CLOWDER_ADDRESS CLOWDER="$clowder" NODE_PATH="$cache/$wanted/node/node_modules"

cp -r "$here/node" "$work/node"
ln -s "$NODE_PATH" "$work/node/node_modules"
(cd "$work/node" && node --test --test-reporter=spec)
"$python/bin/python" -m pytest -q -p no:cacheprovider "$here/python"
