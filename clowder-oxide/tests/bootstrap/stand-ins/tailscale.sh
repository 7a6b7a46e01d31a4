#!/bin/bash
# Stands in for tailscale: joins with the key of the file it is told, and knows its address.
set -euo pipefail
echo "tailscale $*" >>/calls
case $1 in
    up)
        for argument; do
            case $argument in --auth-key=file:*) cat "${argument#--auth-key=file:}" >/joined-with ;; esac
        done
        ;;
    ip) echo 100.64.0.7 ;;
esac
