# shellcheck shell=bash
# etcd, the API server, the controller manager and the scheduler. With real nodes they live in the cluster's network
# namespace; without, on this machine's loopback.

# inside: what a component of the control plane is started through.
inside() {
    if [ "$kind" = nodes ]; then
        printf '%s\n' nsenter --target "$(recorded network)" --net --
    fi
}

issue_control_plane() {
    local names=DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc
    names+=,DNS:kubernetes.default.svc.cluster.local,IP:127.0.0.1,IP:$(first_service)
    [ "$kind" = nodes ] && names+=,IP:$(control_plane_address)
    issue etcd /CN=etcd IP:127.0.0.1
    issue etcd-client /CN=kube-apiserver
    issue kube-apiserver /CN=kube-apiserver "$names"
    issue kubelet-client /O=system:masters/CN=kube-apiserver
    issue admin /O=system:masters/CN=admin
    issue kube-controller-manager /CN=system:kube-controller-manager
    issue kube-scheduler /CN=system:kube-scheduler
    write_kubeconfig "$dir/kubeconfig" admin
    write_kubeconfig "$dir/pki/kube-controller-manager.kubeconfig" kube-controller-manager
    write_kubeconfig "$dir/pki/kube-scheduler.kubeconfig" kube-scheduler
}

start_etcd() {
    local prefix
    mapfile -t prefix < <(inside)
    # Tests need no data after a power cut, so etcd does not wait for the disk.
    define etcd "${prefix[@]}" "$programs/etcd" --name test --data-dir "$dir/etcd" --unsafe-no-fsync --log-level warn \
        --listen-client-urls "https://127.0.0.1:$etcd_port" --advertise-client-urls "https://127.0.0.1:$etcd_port" \
        --listen-peer-urls "http://127.0.0.1:$peer_port" --initial-advertise-peer-urls "http://127.0.0.1:$peer_port" \
        --initial-cluster "test=http://127.0.0.1:$peer_port" --quota-backend-bytes 8589934592 \
        --auto-compaction-mode periodic --auto-compaction-retention 10m \
        --cert-file "$dir/pki/etcd.crt" --key-file "$dir/pki/etcd.key" \
        --client-cert-auth --trusted-ca-file "$dir/pki/ca.crt"
    start etcd
}

start_apiserver() {
    local prefix flags=()
    mapfile -t prefix < <(inside)
    case $kind in
        nodes) flags+=(--bind-address 0.0.0.0 --advertise-address "$(control_plane_address)") ;;
        # Nothing could use the Service called kubernetes where no Pod runs, and a loopback address cannot be its endpoint.
        *) flags+=(--bind-address 127.0.0.1 --endpoint-reconciler-type none) ;;
    esac
    # Without a controller manager nobody makes service accounts.
    [ "$kind" != apiserver ] || flags+=(--disable-admission-plugins ServiceAccount)
    define kube-apiserver "${prefix[@]}" "$programs/kube-apiserver" "${flags[@]}" --secure-port "$api_port" \
        --etcd-servers "https://127.0.0.1:$etcd_port" --etcd-cafile "$dir/pki/ca.crt" \
        --etcd-certfile "$dir/pki/etcd-client.crt" --etcd-keyfile "$dir/pki/etcd-client.key" \
        --tls-cert-file "$dir/pki/kube-apiserver.crt" --tls-private-key-file "$dir/pki/kube-apiserver.key" \
        --client-ca-file "$dir/pki/ca.crt" --kubelet-certificate-authority "$dir/pki/ca.crt" \
        --kubelet-preferred-address-types InternalIP \
        --kubelet-client-certificate "$dir/pki/kubelet-client.crt" --kubelet-client-key "$dir/pki/kubelet-client.key" \
        --service-account-issuer https://kubernetes.default.svc.cluster.local \
        --service-account-key-file "$dir/pki/sa.pub" --service-account-signing-key-file "$dir/pki/sa.key" \
        --service-cluster-ip-range "$(services)" --authorization-mode Node,RBAC \
        --enable-admission-plugins NodeRestriction --allow-privileged --shutdown-delay-duration 0s
    start kube-apiserver
    await "the API server at $api" 90 kube-apiserver kube get --raw /readyz
}

start_controllers() {
    local prefix
    mapfile -t prefix < <(inside)
    # A node that is silent for 30 s is lost: soon enough for a test, late enough for a busy machine. A thousand nodes of kwok
    # speak through one process, which may be late without any of them being lost.
    local silence=30s
    [ "$kind" = nodes ] || silence=10m
    keep kube-controller-manager "${prefix[@]}" "$programs/kube-controller-manager" --secure-port 0 --leader-elect=false \
        --kubeconfig "$dir/pki/kube-controller-manager.kubeconfig" --use-service-account-credentials \
        --service-account-private-key-file "$dir/pki/sa.key" --root-ca-file "$dir/pki/ca.crt" \
        --cluster-signing-cert-file "$dir/pki/ca.crt" --cluster-signing-key-file "$dir/pki/ca.key" \
        --node-monitor-period 2s --node-monitor-grace-period "$silence" --kube-api-qps 300 --kube-api-burst 600
    cat >"$dir/scheduler.yaml" <<YAML
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
clientConnection:
  kubeconfig: $dir/pki/kube-scheduler.kubeconfig
  qps: 500
  burst: 1000
leaderElection:
  leaderElect: false
YAML
    keep kube-scheduler "${prefix[@]}" "$programs/kube-scheduler" --secure-port 0 --config "$dir/scheduler.yaml"
    start kube-controller-manager
    start kube-scheduler
    await "the service account of the default namespace" 60 kube-controller-manager kube get serviceaccount default
}
