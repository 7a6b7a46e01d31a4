#!/usr/bin/env bash
# Builds llama-server for this machine and prints its path; kept between runs.
set -euo pipefail

version=0.3.36
cache=${XDG_CACHE_HOME:-$HOME/.cache}/clowder/peer-$version
server=$cache/build/bin/llama-server
if [ ! -x "$server" ]; then
    mkdir -p "$cache"
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --no-binary llama-cpp-python \
        -d "$cache" "llama-cpp-python==$version" >&2
    tar -xzf "$cache"/llama_cpp_python-*.tar.gz -C "$cache" --strip-components 1
    cmake -S "$cache/vendor/llama.cpp" -B "$cache/build" -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF \
        -DLLAMA_CURL=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_UI=OFF -DLLAMA_BUILD_TESTS=OFF >&2
    cmake --build "$cache/build" --target llama-server -j "$(nproc)" >&2
fi
echo "$server"
