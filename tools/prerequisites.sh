#!/usr/bin/env bash
# Sees that this machine has what a build needs, and installs what is missing where that can be done:
#   prerequisites.sh build     a Rust toolchain, a C++ compiler, cmake, libclang
#   prerequisites.sh lint      shellcheck
#   prerequisites.sh clients   Python with venv and Node.js, for the end-to-end tests
#   prerequisites.sh cloud-init  debootstrap, Python and shellcheck, for the check of what machines do when they start
set -euo pipefail

wanted=${1:-build}
missing=()

have() { command -v "$1" >/dev/null 2>&1; }
lacks() { missing+=("$1"); }

libclang_found() {
    have llvm-config && return 0
    compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null && return 0
    compgen -G '/usr/lib/*/libclang*.so*' >/dev/null && return 0
    compgen -G '/usr/lib64/libclang*.so*' >/dev/null && return 0
    [ -n "${LIBCLANG_PATH:-}" ]
}

case $wanted in
    build)
        if ! have cargo; then
            echo "Clowder is built with Rust, which this machine lacks: install it from https://rustup.rs, then run this again." >&2
            exit 1
        fi
        if [ "$(uname -s)" = Darwin ]; then
            have cmake || lacks cmake
            xcode-select -p >/dev/null 2>&1 || { echo "Install Apple's compiler first: xcode-select --install" >&2; exit 1; }
        else
            have cmake || lacks cmake
            have c++ || lacks g++
            have make || lacks make
            libclang_found || lacks libclang-dev
            have clang || lacks clang
        fi
        ;;
    lint)
        have shellcheck || lacks shellcheck
        ;;
    clients)
        if have python3; then
            python3 -c 'import venv, ensurepip' 2>/dev/null || lacks python3-venv
        else
            lacks python3-venv
        fi
        have curl || lacks curl
        have node || lacks nodejs
        have npm || lacks npm
        ;;
    cloud-init)
        have debootstrap || lacks debootstrap
        have ip || lacks iproute2
        have python3 || lacks python3
        have shellcheck || lacks shellcheck
        ;;
    *)
        echo "usage: $0 build|lint|clients|cloud-init" >&2
        exit 2
        ;;
esac

[ ${#missing[@]} -eq 0 ] && exit 0

if have apt-get; then
    as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        have sudo || { echo "Missing: ${missing[*]}. Install them with apt-get as root, then run this again." >&2; exit 1; }
        as_root=(sudo)
    fi
    echo "Installing what is missing here: ${missing[*]}"
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
elif [ "$(uname -s)" = Darwin ]; then
    echo "Missing: ${missing[*]}. Install them with Homebrew: brew install ${missing[*]}" >&2
    exit 1
else
    echo "Missing: ${missing[*]}. Install these packages (or what your system calls them), then run this again." >&2
    exit 1
fi
