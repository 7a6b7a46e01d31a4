# shellcheck shell=bash
# What the cluster takes from the system, and how it gets there.

# need PACKAGE COMMAND: remembers the package where the command is missing.
need() { command -v "$2" >/dev/null 2>&1 || missing+=("$1"); }

# install_missing: all that this kind of cluster needs; on Debian and Ubuntu it is installed, elsewhere named.
install_missing() {
    local missing=()
    need openssl openssl
    need procps ps
    if [ "$kind" = nodes ]; then
        [ "$(id -u)" -eq 0 ] || die "nodes are made of namespaces, mounts and control groups, for which it has to be root (--nodes 0 needs no root)"
        need iproute2 ip
        need util-linux nsenter
        need containerd containerd
        need runc runc
        need nftables nft
        need iptables iptables
        cni_plugins >/dev/null || missing+=(containernetworking-plugins)
    fi
    [ ${#missing[@]} -eq 0 ] && return 0
    command -v apt-get >/dev/null || die "missing: ${missing[*]}. Install these packages (or what your system calls them), then run this again"
    [ "$(id -u)" -eq 0 ] || die "missing: ${missing[*]}. Install them as root: apt-get install ${missing[*]}"
    say "Installing what is missing here: ${missing[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}
