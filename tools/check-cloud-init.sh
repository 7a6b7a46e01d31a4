#!/usr/bin/env bash
# Checks what machines on Oxide do when they first start, on the Debian releases that they may run: cloud-init of each takes
# the user data of every kind of machine, and the bootstrap script does its work there, in a throw-away root filesystem
# without any network, with stand-ins for k3s, tailscale and systemd. Needs root. The last line counts.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# cloud-init 22.4 and 25.1.
releases=(bookworm trixie)
packages=(cloud-init curl ca-certificates e2fsprogs openssl systemd)
here=clowder-oxide/tests/bootstrap
target=${CARGO_TARGET_DIR:-target}

[ "$(id -u)" -eq 0 ] || { echo "Root filesystems are made and entered as root: run this as root" >&2; exit 1; }
tools/prerequisites.sh cloud-init

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# root RELEASE: the folder of that Debian, made once; the name says what is in it.
root() { echo "${XDG_CACHE_HOME:-$HOME/.cache}/clowder/cloud-init/$1-$(sha256sum <<<"${packages[*]}" | cut -c 1-16)"; }

# make_root RELEASE: from where this machine has its own packages, if it is a Debian. debootstrap does not understand what
# cloud-init depends on, apt does.
make_root() {
    local root part mirror
    root=$(root "$1")
    part=$root.part
    [ -d "$root" ] && return
    # shellcheck disable=SC2016
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' | head -n 1)
    rm -rf "$part"
    mkdir -p "$part"
    if ! {
        debootstrap --variant=minbase "$1" "$part" ${mirror:+"$mirror"} &&
            chroot "$part" apt-get update -q &&
            chroot "$part" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${packages[@]}"
    } >"$work/$1.log" 2>&1; then
        tail -n 20 "$work/$1.log" >&2
        echo "Debian $1 cannot be installed into $root" >&2
        return 1
    fi
    rm -rf "$part"/var/cache/apt/archives/*.deb "$part"/var/lib/apt/lists/* "$part"/usr/share/{doc,man,locale}
    mv "$part" "$root"
}

# Both at once: most of it is waiting for packages.
makers=()
for release in "${releases[@]}"; do
    make_root "$release" &
    makers+=($!)
done
for maker in "${makers[@]}"; do wait "$maker"; done

# What machines install, and its checksums.
mkdir -p "$work/artifacts" "$work/tailscale/tailscale_0_amd64"
install -m 0755 $here/stand-ins/k3s.sh "$work/artifacts/k3s"
install -m 0755 $here/stand-ins/k3s.sh "$work/tailscale/tailscale_0_amd64/tailscaled"
install -m 0755 $here/stand-ins/tailscale.sh "$work/tailscale/tailscale_0_amd64/tailscale"
tar -czf "$work/artifacts/tailscale.tgz" -C "$work/tailscale" tailscale_0_amd64
echo 'images of k3s' >"$work/artifacts/k3s-airgap-images-amd64.tar.zst"
echo 'images of Clowder' >"$work/artifacts/clowder-images.tar"
(cd "$work/artifacts" && sha256sum -- *) >"$work/checksums"

cargo build --quiet --locked -p clowder-oxide --example user-data
user_data=$target/debug/examples/user-data
"$user_data" "$work/user-data/published"
"$user_data" "$work/user-data/fetched" http://127.0.0.1:8000 "$work/checksums"
"$user_data" "$work/user-data/image" /opt/clowder "$work/checksums"

# Shell as machines run it: the script, and what it reads.
mkdir "$work/shell"
chroot_python() { chroot "$(root bookworm)" python3 -c "$1"; }
for document in "$work"/user-data/*/*.yaml; do
    name=$(basename "$(dirname "$document")")-$(basename "$document" .yaml)
    chroot_python 'import sys, yaml
for file in yaml.safe_load(sys.stdin)["write_files"]:
    if file["path"].startswith(("/usr/local/sbin/", "/etc/clowder/bootstrap")):
        print(file["content"].replace("#!/bin/bash", ""))' <"$document" >"$work/shell/$name.sh"
done
shellcheck --shell bash --exclude SC2034,SC1091 "$work"/shell/*.sh

# valid RELEASE FOLDER: cloud-init of that release takes each document of the folder.
valid() {
    # shellcheck disable=SC2016
    unshare --mount bash -eu -c 'mount --bind "$1" "$2/mnt"; exec chroot "$2" bash -eu -c "for document in /mnt/*.yaml; do
        cloud-init schema --config-file \"\$document\" >/tmp/said 2>&1 || { cat /tmp/said; exit 1; }
    done; rm -f /tmp/said"' - "$2" "$(root "$1")"
}

documents=0
mkdir "$work/refused"
echo $'#cloud-config\nssh_authorized_keys: {a: b}' >"$work/refused/refused.yaml"
for release in "${releases[@]}"; do
    for folder in "$work"/user-data/{published,fetched,image}; do
        valid "$release" "$folder"
        documents=$((documents + $(find "$folder" -name '*.yaml' | wc -l)))
    done
    if valid "$release" "$work/refused" >/dev/null; then
        echo "cloud-init of $release takes what it should refuse: this checks nothing" >&2
        exit 1
    fi
done

for release in "${releases[@]}"; do
    CLOWDER_ROOT=$(root "$release") CLOWDER_USER_DATA=$work/user-data CLOWDER_ARTIFACTS=$work/artifacts \
        unshare --mount --net --propagation private python3 -B -m unittest discover --start-directory $here
done
echo "cloud-init: $documents documents are valid, and the bootstrap works on ${releases[*]}"
