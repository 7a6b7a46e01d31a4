#!/usr/bin/env bash
# Stops, starts or kills one component of a cluster, for tests of what happens then:
#   component.sh [--dir FOLDER] list
#   component.sh [--dir FOLDER] stop|start|kill|log NAME
#
# For example: stop kube-apiserver (an API server that is away), kill kubelet-node1 (a node that is lost but whose Pods run).
set -euo pipefail

# shellcheck source=tools/cluster/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=tools/cluster/lib/process.sh
. "$here/lib/process.sh"

if [ "${1:-}" = --dir ]; then
    use_dir "${2:-}"
    shift 2
fi
load_settings
action=${1:-list} name=${2:-}
if [ "$action" != list ]; then
    if [ -z "$name" ] || [ ! -x "$dir/run/$name" ]; then
        die "there is no component called '$name'; there are: $(components)"
    fi
fi
case $action in
    list) components; echo ;;
    start) start "$name" ;;
    stop) stop "$name" ;;
    kill) stop "$name" 0 ;;
    log) cat "$dir/log/$name.log" ;;
    *) die "unknown action '$action'; there are list, start, stop, kill and log" ;;
esac
