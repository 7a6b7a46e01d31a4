#!/usr/bin/env bash
# The first process of a node, in namespaces of its own: node-init.sh NODE-FOLDER PROGRAMS CNI-PLUGINS
#
# It gives the node its own /var/lib, /var/log and /run, so that the programs of several nodes find their usual paths and
# hostPath volumes are each node's own, then becomes `pause`, which reaps what the node leaves behind. When it ends, the
# kernel ends all of the node's processes and forgets its mounts.
set -euo pipefail

node=$1
programs=$2
plugins=$3

mount --make-rslave /
# Volumes have to be seen both by the kubelet and by containers; nothing of it reaches the machine outside.
mount --make-rshared /
mount --bind "$programs" "$node/programs"
mount --bind "$plugins" "$node/plugins"
mount --bind "$node/lib" /var/lib
mount --bind "$node/log" /var/log
mount -t tmpfs -o mode=0755 tmpfs /run
# The kubelet sets these for the whole machine unless they already have the values it wants: let it see those here.
declare -A wanted=(
    [vm/overcommit_memory]=1
    [vm/panic_on_oom]=0
    [kernel/panic]=10
    [kernel/panic_on_oops]=1
    [kernel/keys/root_maxkeys]=1000000
    [kernel/keys/root_maxbytes]=25000000
)
for setting in "${!wanted[@]}"; do
    file=$node/sysctl/${setting//\//.}
    echo "${wanted[$setting]}" >"$file"
    mount --bind "$file" "/proc/sys/$setting"
done
hostname "$(basename "$node")"
touch "$node/prepared"
exec "$node/programs/pause"
