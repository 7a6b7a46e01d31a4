#!/usr/bin/env bash
# Shows that the cluster is one: starts it, runs Pods on both nodes, uses them in all the ways that Clowder's tests do, ends it
# and looks for what is left. Prints each step with the seconds it took.
set -euo pipefail

# shellcheck source=tools/cluster/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=tools/cluster/lib/process.sh
. "$here/lib/process.sh"

work=$(mktemp -d)
use_dir "$work/cluster"
step=preparing since=$EPOCHREALTIME

# done_with NEXT: prints the step that is done, and begins the next.
done_with() {
    local now=$EPOCHREALTIME
    printf '%6.1f s  %s\n' "$(bc -l <<<"$now - $since")" "$step"
    step=$1 since=$now
}

finish() {
    local status=$?
    if [ "$status" -ne 0 ]; then
        say "failed: $step"
        if [ -f "$dir/kubeconfig" ]; then
            load_settings
            kube get nodes,pods,services,endpointslices --all-namespaces -o wide >&2 || true
            kube get events --all-namespaces --sort-by=.lastTimestamp 2>/dev/null | tail -n 20 >&2 || true
        fi
    fi
    "$here/down.sh" --dir "$dir"
    rm -rf "$work"
}
trap finish EXIT

# expect WHAT ACTUAL WANTED
expect() { [ "$2" = "$3" ] || die "$step: $1 is '$2', not '$3'"; }

# within SECONDS COMMAND …: until it succeeds.
within() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || { "$@" || die "$step: not within time: $*"; return; }
        sleep 0.2
    done
}

if ! command -v busybox >/dev/null || ! command -v curl >/dev/null; then
    say "Installing what is missing here: busybox-static curl"
    apt-get install -y -qq --no-install-recommends busybox-static curl >/dev/null
fi
"$here/build.sh" >/dev/null
done_with "cluster up: two nodes ready, CoreDNS running"

"$here/up.sh" --dir "$dir" --kwok 3
load_settings
done_with "up again: nothing to do"
"$here/up.sh" --dir "$dir"

done_with "image made and loaded into both nodes"
mkdir "$work/programs"
# busybox is a shell and a server; it is no client here, because a static one resolves no names.
cp "$(command -v busybox)" "$(command -v curl)" "$work/programs/"
"$here/image.sh" "$work/programs" clowder-smoke:dev "$work/smoke.tar"
"$here/load-image.sh" --dir "$dir" "$work/smoke.tar" >/dev/null

done_with "a Pod on each node"
kube apply -f - >/dev/null <<'YAML'
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 60
      containers:
      - name: web
        image: clowder-smoke:dev
        command:
        - busybox
        - sh
        - -c
        - |
          busybox mkdir -p /tmp/www
          echo "$NODE" >/tmp/www/index.html
          busybox httpd -f -p 8080 -h /tmp/www &
          trap 'echo asked to end; kill $!; exit 0' TERM
          echo serving on "$NODE"
          wait
        env: [{name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}]
        readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
        securityContext:
          runAsNonRoot: true
          allowPrivilegeEscalation: false
          readOnlyRootFilesystem: true
          capabilities: {drop: [ALL]}
          seccompProfile: {type: RuntimeDefault}
        resources: {requests: {cpu: 10m, memory: 16Mi}, limits: {memory: 32Mi}}
        volumeMounts: [{name: tmp, mountPath: /tmp}, {name: state, mountPath: /var/lib/clowder}]
      volumes:
      - {name: tmp, emptyDir: {}}
      - {name: state, hostPath: {path: /var/lib/clowder, type: DirectoryOrCreate}}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: web-local}
spec: {selector: {app: web}, internalTrafficPolicy: Local, ports: [{port: 80, targetPort: 8080}]}
YAML
kube rollout status daemonset/web --timeout=120s >/dev/null
expect "number of Pods" "$(kube get pods -l app=web -o name | wc -l)" 2

pod_on() { kube get pods -l app=web --field-selector "spec.nodeName=$1" -o jsonpath='{.items[0].metadata.name}'; }
fetch_in() { kube exec "$1" -- curl -sf -m 5 "$2"; }

done_with "both Pods through the Service, from this machine"
address=$(kube get service web -o jsonpath='{.spec.clusterIP}')
answers() { for _ in $(seq 40); do curl -s -m 5 "http://$address/"; done | sort -u | xargs; }
both_answer() { [ "$(answers)" = "node1 node2" ]; }
within 20 both_answer

done_with "the Service by name from Pods, on its own node alone where it says so"
for node in $(node_names); do
    pod=$(pod_on "$node")
    within 20 fetch_in "$pod" http://web.default.svc.cluster.local/
    for _ in 1 2 3 4 5; do
        expect "answer of web-local on $node" "$(fetch_in "$pod" http://web-local/)" "$node"
    done
done

done_with "kubectl logs and exec"
expect log "$(kube logs "$(pod_on node2)")" "serving on node2"
expect "user in the Pod" "$(kube exec "$(pod_on node1)" -- busybox id -u)" 10001
expect "host name of a Pod" "$(kube exec "$(pod_on node1)" -- busybox hostname)" "$(pod_on node1)"

done_with "the API server reached from a Pod, with the Pod's own credentials"
secrets=/var/run/secrets/kubernetes.io/serviceaccount
status=$(kube exec "$(pod_on node1)" -- curl -s -m 5 --cacert $secrets/ca.crt -o /dev/null -w '%{http_code}' \
    https://kubernetes.default.svc.cluster.local/version)
expect "the API server's answer" "$status" 200
kube exec "$(pod_on node1)" -- busybox test -s $secrets/token

done_with "API server away and back: the Service serves meanwhile"
"$here/component.sh" --dir "$dir" stop kube-apiserver
both_answer || die "$step: the Service stopped"
"$here/component.sh" --dir "$dir" start kube-apiserver
within 60 kube get --raw /readyz

done_with "a Pod deleted gracefully"
pod=$(pod_on node1)
kube logs --follow "$pod" >"$work/log" &
log=$!
kube delete pod "$pod" --timeout=30s >/dev/null
wait "$log"
expect "last line of its log" "$(tail -n 1 "$work/log")" "asked to end"

done_with "a node drained"
kube drain node2 --ignore-daemonsets --delete-emptydir-data --timeout=60s >/dev/null 2>&1
expect "Pods on node2 but those of the DaemonSet" \
    "$(kube get pods --all-namespaces --field-selector spec.nodeName=node2 -o name | grep -cv ^pod/web- || true)" 0
kube --namespace kube-system rollout status deployment/coredns --timeout=60s >/dev/null

done_with "cluster down"
recorded_processes=$(for record in "$dir"/run/*.pid; do cut -d ' ' -f 1 "$record"; done)
namespaces=$(for name in network $(node_names); do readlink "/proc/$(leader "$name")/ns/net"; done)
"$here/down.sh" --dir "$dir"

done_with "nothing left"
for pid in $recorded_processes; do
    [ ! -d "/proc/$pid" ] || die "$step: process $pid is left: $(tr '\0' ' ' <"/proc/$pid/cmdline")"
done
for namespace in $namespaces; do
    if readlink /proc/[0-9]*/ns/net 2>/dev/null | grep -qF "$namespace"; then die "$step: a process is left in $namespace"; fi
done
if grep -qF "$dir" /proc/self/mountinfo; then die "$step: mounts are left: $(grep -F "$dir" /proc/self/mountinfo)"; fi
if ip link show "clowder-$id" >/dev/null 2>&1; then die "$step: the network interface clowder-$id is left"; fi
if compgen -G "/sys/fs/cgroup/*/clowder-$id" >/dev/null; then die "$step: control groups are left"; fi
if [ -n "$(ip -4 route show root "$network.0.0/16")" ]; then die "$step: routes are left"; fi
[ ! -e "$dir" ] || die "$step: $dir is left"
done_with "-"
