# shellcheck shell=bash
# CoreDNS as a Pod, so that names of Services resolve in Pods; and the images that the cluster itself runs on.

# make_images: archives of the pause image and of CoreDNS.
make_images() {
    local name
    mkdir -p "$dir/images"
    for name in pause coredns; do
        [ -f "$dir/images/$name.tar" ] && continue
        mkdir -p "$dir/images/$name"
        cp "$programs/$name" "$dir/images/$name/"
        "$here/image.sh" --entrypoint "/usr/local/bin/$name" "$dir/images/$name" "clowder.test/$name:1" "$dir/images/$name.tar"
        rm -r "$dir/images/$name"
    done
}

# load_images NODE
load_images() {
    local name
    for name in pause coredns; do
        import "$1" <"$dir/images/$name.tar" >/dev/null
    done
}

install_dns() {
    kube apply -f - >/dev/null <<YAML
apiVersion: v1
kind: ServiceAccount
metadata: {name: coredns, namespace: kube-system}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: coredns}
rules:
- apiGroups: [""]
  resources: [services, pods, namespaces]
  verbs: [list, watch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list, watch]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: coredns}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: coredns}
subjects: [{kind: ServiceAccount, name: coredns, namespace: kube-system}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: coredns, namespace: kube-system}
data:
  Corefile: |
    .:5353 {
        errors
        health :8080
        ready :8181
        kubernetes cluster.local in-addr.arpa
        cache 5
    }
---
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system}
spec:
  clusterIP: $(dns_service)
  selector: {k8s-app: kube-dns}
  ports:
  - {name: dns, port: 53, targetPort: 5353, protocol: UDP}
  - {name: dns-tcp, port: 53, targetPort: 5353, protocol: TCP}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: coredns, namespace: kube-system}
spec:
  replicas: 1
  selector: {matchLabels: {k8s-app: kube-dns}}
  template:
    metadata: {labels: {k8s-app: kube-dns}}
    spec:
      serviceAccountName: coredns
      priorityClassName: system-cluster-critical
      dnsPolicy: Default
      nodeSelector: {test.clowder.dev/kubelet: real}
      containers:
      - name: coredns
        image: clowder.test/coredns:1
        args: [-conf, /etc/coredns/Corefile]
        readinessProbe: {httpGet: {path: /ready, port: 8181}, periodSeconds: 1}
        livenessProbe: {httpGet: {path: /health, port: 8080}, timeoutSeconds: 5, failureThreshold: 5}
        resources: {requests: {cpu: 10m, memory: 32Mi}, limits: {memory: 128Mi}}
        securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
        volumeMounts: [{name: config, mountPath: /etc/coredns, readOnly: true}]
      volumes: [{name: config, configMap: {name: coredns}}]
YAML
    if ! kube --namespace kube-system rollout status deployment/coredns --timeout=120s >/dev/null; then
        kube --namespace kube-system describe pods >&2
        die "CoreDNS does not start"
    fi
}
