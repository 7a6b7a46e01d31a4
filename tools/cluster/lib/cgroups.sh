# shellcheck shell=bash
# Each node's containers live under a control group of its own, /clowder-ID/nodeN, in every hierarchy there is.

# hierarchies: the folders in which control groups are made.
hierarchies() {
    if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
        echo /sys/fs/cgroup
    else
        local hierarchy
        for hierarchy in /sys/fs/cgroup/*/; do
            if [ ! -L "${hierarchy%/}" ]; then echo "${hierarchy%/}"; fi
        done
    fi
}

make_cgroups() {
    local hierarchy group controller
    for hierarchy in $(hierarchies); do
        mkdir -p "$hierarchy/clowder-$id/$1"
        [ "$hierarchy" = /sys/fs/cgroup ] || continue
        for group in "$hierarchy" "$hierarchy/clowder-$id"; do
            for controller in $(<"$group/cgroup.controllers"); do
                echo "+$controller" >"$group/cgroup.subtree_control"
            done
        done
    done
}

remove_cgroups() {
    local hierarchy group
    for hierarchy in $(hierarchies); do
        [ -d "$hierarchy/clowder-$id" ] || continue
        find "$hierarchy/clowder-$id" -depth -type d | while read -r group; do
            # A group whose last process was just killed is busy for a moment.
            for _ in $(seq 100); do
                rmdir "$group" 2>/dev/null && break
                sleep 0.05
            done
        done
    done
}
