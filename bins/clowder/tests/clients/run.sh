#!/usr/bin/env bash
# The clients' tests, against the server that tools/with-server.sh started.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/clowder/clients

# The clients are kept between runs as long as what is asked for is the same.
wanted=$(cat "$here/python/requirements.txt" "$here/node/package-lock.json" | sha256sum | cut -c1-16)
kept=$cache/$wanted
if [ ! -f "$kept/complete" ]; then
    rm -rf "$kept"
    mkdir -p "$kept/node"
    python3 -m venv "$kept/python"
    "$kept/python/bin/pip" install --quiet --disable-pip-version-check -r "$here/python/requirements.txt"
    cp "$here/node/package.json" "$here/node/package-lock.json" "$kept/node/"
    (cd "$kept/node" && npm ci --silent --no-audit --no-fund)
    touch "$kept/complete"
fi

# Node looks for packages beside the test.
cp "$here"/node/*.mjs "$kept/node/"
(cd "$kept/node" && node --test --test-reporter=spec)
"$kept/python/bin/python" -m pytest -q -p no:cacheprovider "$here/python"
