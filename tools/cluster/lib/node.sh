# shellcheck shell=bash
# A real node: containerd, kubelet and kube-proxy in the node's own network, mount, process and host name namespaces.

# cni_plugins: the folder of the CNI plugins on this machine; fails where there is none.
cni_plugins() {
    local folder
    for folder in /usr/lib/cni /opt/cni/bin /usr/libexec/cni; do
        if [ -x "$folder/ptp" ]; then
            echo "$folder"
            return
        fi
    done
    return 1
}

# entered NODE: the command that enters a node.
entered() {
    printf '%s\n' nsenter --target "$(leader "$1")" --mount --net --uts --ipc --pid --
}

# on_node NODE COMMAND …
on_node() {
    local prefix
    mapfile -t prefix < <(entered "$1")
    shift
    "${prefix[@]}" "$@"
}

# start_node NODE: namespaces first, then what runs in them. The kubelet's registration is awaited elsewhere.
start_node() {
    local node=$1 folder=$dir/nodes/$1
    if ! alive "$node"; then
        mkdir -p "$folder"/{programs,plugins,lib/clowder,log,sysctl,cni}
        rm -f "$folder/prepared"
        make_cgroups "$node"
        define "$node" unshare --net --mount --uts --ipc --pid --fork --kill-child --mount-proc -- \
            "$here/lib/node-init.sh" "$folder" "$programs" "$(cni_plugins)"
        start "$node"
        await "the namespaces of $node" 10 "$node" test -f "$folder/prepared"
        join "$node" "$(leader "$node")"
    fi
    start_containerd "$node"
    start_kubelet "$node"
    start_kube_proxy "$node"
}

start_containerd() {
    local node=$1 folder=$dir/nodes/$1 prefix
    mapfile -t prefix < <(entered "$node")
    cat >"$folder/containerd.toml" <<TOML
version = 2
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs"]
[plugins."io.containerd.internal.v1.opt"]
path = "/var/lib/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "$pause_image"
# Machines without CAP_SYS_RESOURCE, as many containers and sandboxes are, cannot make a process more precious than it was.
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "$folder/plugins"
conf_dir = "$folder/cni"
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
default_runtime_name = "runc"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
TOML
    # A routed link for each Pod instead of a bridge: answers from a Pod of the same node pass the rules of Services too.
    cat >"$folder/cni/10-cluster.conflist" <<JSON
{
  "cniVersion": "1.0.0",
  "name": "cluster",
  "plugins": [
    {
      "type": "ptp",
      "ipam": {
        "type": "host-local",
        "dataDir": "/run/cni-addresses",
        "ranges": [[{"subnet": "$(node_pods "$node")"}]],
        "routes": [{"dst": "0.0.0.0/0"}]
      }
    },
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}
JSON
    define "containerd-$node" "${prefix[@]}" containerd --config "$folder/containerd.toml" --log-level warn
    start "containerd-$node"
    await "containerd on $node" 30 "containerd-$node" on_node "$node" ctr version
}

# reserved_memory: what the kubelet keeps from Pods, so that the nodes together offer no more than there is.
reserved_memory() {
    local total
    total=$(awk '/^MemTotal:/ { printf "%.0f", $2 * 1024 }' /proc/meminfo)
    [ "$node_memory" -lt "$total" ] || die "--node-memory: a node of $node_memory bytes does not fit this machine's $total"
    echo $((total - node_memory))
}

start_kubelet() {
    local node=$1 folder=$dir/nodes/$1 prefix
    mapfile -t prefix < <(entered "$node")
    issue "$node" "/O=system:nodes/CN=system:node:$node" "DNS:$node,IP:$(node_address "$node")"
    write_kubeconfig "$dir/pki/$node.kubeconfig" "$node"
    # With evictions by disk left at their defaults a full developer's disk would evict every Pod; with image collection on,
    # images that cannot be pulled again would vanish.
    cat >"$folder/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $(node_address "$node")
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: $dir/pki/ca.crt}
authorization: {mode: Webhook}
tlsCertFile: $dir/pki/$node.crt
tlsPrivateKeyFile: $dir/pki/$node.key
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: /clowder-$id/$node
failCgroupV1: false
failSwapOn: false
clusterDNS: ["$(dns_service)"]
clusterDomain: cluster.local
resolvConf: ""
systemReserved: {memory: "$(reserved_memory)"}
evictionHard: {memory.available: 100Mi, nodefs.available: 1%}
imageGCHighThresholdPercent: 100
volumePluginDir: /var/lib/kubelet/volume-plugins
nodeStatusUpdateFrequency: 5s
YAML
    define "kubelet-$node" "${prefix[@]}" "$folder/programs/kubelet" --config "$folder/kubelet.yaml" \
        --kubeconfig "$dir/pki/$node.kubeconfig" --hostname-override "$node" --node-ip "$(node_address "$node")" \
        --node-labels test.clowder.dev/kubelet=real
    start "kubelet-$node"
}

start_kube_proxy() {
    local node=$1 folder=$dir/nodes/$1 prefix
    mapfile -t prefix < <(entered "$node")
    issue kube-proxy /CN=system:kube-proxy
    write_kubeconfig "$dir/pki/kube-proxy.kubeconfig" kube-proxy
    # The table of connections is the machine's: a node's proxy leaves its size and time limits alone.
    cat >"$folder/kube-proxy.yaml" <<YAML
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clusterCIDR: $(all_pods)
hostnameOverride: $node
clientConnection: {kubeconfig: $dir/pki/kube-proxy.kubeconfig}
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
YAML
    define "kube-proxy-$node" "${prefix[@]}" "$folder/programs/kube-proxy" --config "$folder/kube-proxy.yaml"
    start "kube-proxy-$node"
}

# await_nodes: every real node has registered and takes Pods.
await_nodes() {
    local node
    for node in $(node_names); do
        await "$node has registered" 90 "kubelet-$node" kube get node "$node"
        await "$node is ready" 90 "kubelet-$node" kube wait --for=condition=Ready "node/$node" --timeout=5s
    done
}

# import NODE: an OCI archive on standard input into the images of a node.
import() { on_node "$1" ctr --namespace k8s.io images import -; }
