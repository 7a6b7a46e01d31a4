# shellcheck shell=bash
# kwok: nodes without machines. Their Pods become Ready without a process anywhere, so that thousands cost next to nothing.

# start_kwok: the controller that plays kubelet for all of them.
start_kwok() {
    local prefix
    mapfile -t prefix < <(inside)
    define kwok "${prefix[@]}" "$programs/kwok" --kubeconfig "$dir/kubeconfig" --config "$programs/stages.yaml" \
        --manage-nodes-with-label-selector type=kwok --node-lease-duration-seconds 40 \
        --cidr "$(kwok_pods)" --node-ip "$network.64.0" --server-address ''
    start kwok
}

# add_kwok_nodes COUNT: nodes kwok-0 …, of 32 cores and 256 GiB each. Beside real nodes they are tainted, lest a Pod that shall
# really run is put on one.
add_kwok_nodes() {
    local i taints='[]'
    [ "$kind" = nodes ] && taints='[{key: kwok.x-k8s.io/node, value: fake, effect: NoSchedule}]'
    for ((i = 0; i < $1; i++)); do
        cat <<YAML
---
apiVersion: v1
kind: Node
metadata:
  name: kwok-$i
  annotations: {node.alpha.kubernetes.io/ttl: "0"}
  labels: {type: kwok, kubernetes.io/hostname: kwok-$i, kubernetes.io/os: linux, kubernetes.io/arch: amd64}
spec:
  taints: $taints
status:
  capacity: {cpu: "32", memory: 256Gi, pods: "110", ephemeral-storage: 1Ti}
  allocatable: {cpu: "32", memory: 256Gi, pods: "110", ephemeral-storage: 1Ti}
YAML
    done | kube create -f - >/dev/null
}
