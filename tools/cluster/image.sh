#!/usr/bin/env bash
# Makes a container image of programs of this machine, without a registry and without a container tool:
#   image.sh [--entrypoint PATH] FOLDER TAG ARCHIVE
#
# Every file of FOLDER goes to /usr/local/bin; with it come the shared libraries that the programs are linked with, the
# authorities for TLS, a user 10001 that they run as, and /tmp. ARCHIVE becomes an OCI archive of one layer; the same
# files make the same bytes. TAG is a name as Pods say it: clowder:dev, example.org/clowder:1.
set -euo pipefail

die() {
    echo "image.sh: $*" >&2
    exit 1
}

entrypoint=
if [ "${1:-}" = --entrypoint ]; then
    entrypoint=${2:-}
    shift 2
fi
[ $# -eq 3 ] || die "usage: image.sh [--entrypoint PATH] FOLDER TAG ARCHIVE"
folder=$1 tag=$2 archive=$3
[ -n "$(ls -A "$folder" 2>/dev/null)" ] || die "there is nothing in '$folder'"
[[ $tag =~ ^[a-z0-9./:_-]+:[A-Za-z0-9._-]+$ ]] || die "'$tag' is not NAME:TAG"
# What a short name means to a container runtime.
case $tag in
    *.*/* | *:*/* | localhost/*) name=$tag ;;
    */*) name=docker.io/$tag ;;
    *) name=docker.io/library/$tag ;;
esac
case $(uname -m) in
    x86_64) architecture=amd64 ;;
    aarch64) architecture=arm64 ;;
    *) architecture=$(uname -m) ;;
esac

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
layout=$work/layout
mkdir -p "$root"/{etc/ssl/certs,tmp,usr/local/bin,var} "$layout/blobs/sha256"
chmod 0755 "$root"
chmod 1777 "$root/tmp"
cp -RL "$folder"/. "$root/usr/local/bin/"
chmod -R u=rwX,go=rX "$root/usr/local/bin"

# libraries FILE: the paths of what the loader would load for it; nothing for a static program or a file of another kind.
libraries() {
    local listing
    listing=$(ldd "$1" 2>/dev/null) || return 0
    if grep -q 'not found' <<<"$listing"; then
        die "$1 is linked with libraries that this machine lacks: $(awk '/not found/ { print $1 }' <<<"$listing" | xargs)"
    fi
    awk '$2 == "=>" && $3 ~ /^\// { print $3 } $1 ~ /^\// { print $1 }' <<<"$listing"
}

find "$folder" -type f -o -type l | while read -r file; do
    libraries "$file"
done | sort -u | while read -r library; do
    install -D -m 0755 "$(realpath "$library")" "$root$library"
done

for authorities in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt; do
    if [ -f "$authorities" ]; then
        install -m 0644 "$authorities" "$root/etc/ssl/certs/ca-certificates.crt"
        break
    fi
done
printf '%s\n' 'root:x:0:0:root:/:/usr/sbin/nologin' 'clowder:x:10001:10001:Clowder:/tmp:/usr/sbin/nologin' >"$root/etc/passwd"
printf '%s\n' 'root:x:0:' 'clowder:x:10001:' >"$root/etc/group"
printf '%s\n' 'hosts: files dns' >"$root/etc/nsswitch.conf"
chmod 0644 "$root"/etc/{passwd,group,nsswitch.conf}

# add_blob FILE: moves it to where an OCI layout has its blobs and prints "DIGEST SIZE".
add_blob() {
    local digest size
    digest=$(sha256sum <"$1" | cut -d ' ' -f 1)
    size=$(stat -c %s "$1")
    mv "$1" "$layout/blobs/sha256/$digest"
    echo "sha256:$digest $size"
}

tar --create --file "$work/layer.tar" --directory "$root" --format=gnu --sort=name --mtime=@0 \
    --owner=0 --group=0 --numeric-owner .
blob=$(add_blob "$work/layer.tar")
read -r layer layer_size <<<"$blob"

command=
[ -z "$entrypoint" ] || command=",\"Entrypoint\":[\"$entrypoint\"]"
cat >"$work/config.json" <<JSON
{"created":"1970-01-01T00:00:00Z","architecture":"$architecture","os":"linux","config":{"User":"10001:10001","Env":["PATH=/usr/local/bin:/usr/bin:/bin","SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"],"WorkingDir":"/"$command},"rootfs":{"type":"layers","diff_ids":["$layer"]}}
JSON
blob=$(add_blob "$work/config.json")
read -r config config_size <<<"$blob"

cat >"$work/manifest.json" <<JSON
{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"$config","size":$config_size},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"$layer","size":$layer_size}]}
JSON
blob=$(add_blob "$work/manifest.json")
read -r manifest manifest_size <<<"$blob"

echo '{"imageLayoutVersion":"1.0.0"}' >"$layout/oci-layout"
cat >"$layout/index.json" <<JSON
{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"$manifest","size":$manifest_size,"annotations":{"io.containerd.image.name":"$name","org.opencontainers.image.ref.name":"${tag##*:}"}}]}
JSON
tar --create --file "$archive" --directory "$layout" --format=gnu --sort=name --mtime=@0 \
    --owner=0 --group=0 --numeric-owner .
