# shellcheck shell=bash
# The network of a cluster with real nodes. A bridge lives in a network namespace of its own, together with the control
# plane; each node is a namespace on that bridge; this machine is on it too, by one link, so that tests reach the API
# server, Services and Pods. Nothing of it is reachable from other machines.
#
# Within 10.B.0.0/16:   .0.1 control plane    .0.(10+i) node i    .0.254 this machine
#                       .(16+i).0/24 Pods of node i    .32.0/20 Services    .64.0/18 Pods of kwok's nodes

control_plane_address() { echo "$network.0.1"; }
host_address() { echo "$network.0.254"; }
node_address() { echo "$network.0.$((10 + ${1#node}))"; }
node_pods() { echo "$network.$((16 + ${1#node})).0/24"; }
all_pods() { echo "$network.16.0/20"; }
kwok_pods() { echo "$network.64.1/18"; }
services() { echo "$network.32.0/20"; }
first_service() { echo "$network.32.1"; }
dns_service() { echo "$network.32.10"; }

# free_network: the first 10.B that this machine has no route into.
free_network() {
    local b
    for ((b = 100; b < 200; b++)); do
        if [ -z "$(ip -4 route show root "10.$b.0.0/16")" ]; then
            echo "10.$b"
            return
        fi
    done
    die "no free network in 10.100.0.0 to 10.199.255.255: this machine has routes into all of them"
}

in_network() { nsenter --target "$(recorded network)" --net -- "$@"; }

start_network() {
    alive network && return 0
    define network unshare --net -- sleep infinity
    start network
    await "the namespace of the network" 10 network in_own_network
    in_network ip link set lo up
    in_network ip link add cluster type bridge
    in_network ip addr add "$(control_plane_address)/24" dev cluster
    in_network ip link set cluster up
    ip link add "clowder-$id" type veth peer name machine netns "$(recorded network)"
    in_network ip link set machine master cluster up
    ip addr add "$(host_address)/24" dev "clowder-$id"
    ip link set "clowder-$id" up
}

# in_own_network: the holder has left this machine's namespace.
in_own_network() { [ "$(readlink "/proc/$(recorded network)/ns/net")" != "$(readlink /proc/self/ns/net)" ]; }

# join NODE PID: connects the node whose namespaces process PID holds, and tells the others the way to its Pods.
join() {
    local node=$1 inside=(nsenter --target "$2" --net --)
    in_network ip link add "$node" type veth peer name eth0 netns "$2"
    in_network ip link set "$node" master cluster up
    "${inside[@]}" ip link set lo up
    "${inside[@]}" ip addr add "$(node_address "$node")/24" dev eth0
    "${inside[@]}" ip link set eth0 up
    "${inside[@]}" ip route add default via "$(control_plane_address)"
    "${inside[@]}" sysctl -q -w net.ipv4.ip_forward=1
    in_network ip route add "$(node_pods "$node")" via "$(node_address "$node")"
    ip route add "$(node_pods "$node")" via "$(node_address "$node")"
    local other
    for other in $(node_names); do
        [ "$other" = "$node" ] && continue
        "${inside[@]}" ip route add "$(node_pods "$other")" via "$(node_address "$other")"
    done
    if [ "$node" = node1 ]; then
        in_network ip route add "$(services)" via "$(node_address node1)"
        ip route add "$(services)" via "$(node_address node1)"
    fi
}

# remove_network: what killing the holder may not have removed yet.
remove_network() { ip link delete "clowder-$id" 2>/dev/null || true; }
