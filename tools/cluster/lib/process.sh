# shellcheck shell=bash
# Components as processes: each has a script that starts it (run/NAME), a recorded process (run/NAME.pid) and a log. The
# record is the process's number and its time of birth, so that a later process of the same number is never taken for it.

# birth PID: when the process started, in clock ticks since boot; fails where it has ended.
birth() {
    local stat fields
    { stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 1
    read -ra fields <<<"${stat##*) }"
    [ "${fields[0]}" != Z ] || return 1
    echo "${fields[19]}"
}

# recorded NAME: the process of a component that is alive.
recorded() {
    local pid born
    [ -f "$dir/run/$1.pid" ] || return 1
    read -r pid born <"$dir/run/$1.pid"
    [ "$(birth "$pid")" = "$born" ] || return 1
    echo "$pid"
}

alive() { recorded "$1" >/dev/null; }

# leader NAME: the process that signals are for. A wrapper that entered a process namespace stays its parent.
leader() {
    local pid child
    pid=$(recorded "$1") || return 1
    child=$(ps -o pid= --ppid "$pid")
    case $(cat "/proc/$pid/comm" 2>/dev/null) in
        nsenter | unshare) [ -z "$child" ] || pid=$child ;;
    esac
    echo "${pid// /}"
}

# define NAME COMMAND …: what the component runs.
define() {
    local name=$1
    shift
    {
        echo '#!/usr/bin/env bash'
        printf 'exec'
        printf ' %q' "$@"
        echo
    } >"$dir/run/$name"
    chmod 0700 "$dir/run/$name"
}

# keep NAME COMMAND …: what the component runs, again whenever it ends: what kubelet is to the Pods of a control plane. A
# scheduler ends by itself when it finds that it no longer understands what it hears, as after an API server's absence.
keep() {
    local name=$1
    shift
    {
        echo '#!/usr/bin/env bash'
        # shellcheck disable=SC2016
        printf '%s\n' 'trap '\''kill "$child"; wait; exit'\'' TERM' 'while :; do'
        printf '    setpriv --pdeathsig KILL'
        printf ' %q' "$@"
        # shellcheck disable=SC2016
        printf '%s\n' ' &' '    child=$!' '    wait "$child"' '    sleep 1' 'done'
    } >"$dir/run/$name"
    chmod 0700 "$dir/run/$name"
}

# start NAME: starts a component, unless it runs.
start() {
    local pid
    alive "$1" && return 0
    [ -x "$dir/run/$1" ] || die "there is no component called $1 in $dir; there are: $(components)"
    setsid "$dir/run/$1" </dev/null >>"$dir/log/$1.log" 2>&1 9>&- &
    pid=$!
    echo "$pid $(birth "$pid" || true)" >"$dir/run/$1.pid"
}

# signal NAME SIGNAL
signal() {
    local pid
    pid=$(leader "$1") || return 0
    kill -s "$2" "$pid" 2>/dev/null || true
}

# stop NAME [SECONDS]: asks a component to end; after so many seconds it has to.
stop() {
    local step
    signal "$1" TERM
    for ((step = 0; step < ${2:-10} * 20; step++)); do
        alive "$1" || break
        sleep 0.05
    done
    signal "$1" KILL
    while alive "$1"; do sleep 0.05; done
    rm -f "$dir/run/$1.pid"
}

# components: all that are defined.
components() {
    local script
    for script in "$dir"/run/*; do
        if [ -x "$script" ]; then basename "$script"; fi
    done | tr '\n' ' '
}

# await WHAT SECONDS COMPONENT COMMAND …: tries the command until it succeeds. Ends early where the component has ended, and
# then, or when the time is over, shows the component's last words.
await() {
    local what=$1 seconds=$2 component=$3
    local deadline=$((SECONDS + seconds))
    shift 3
    until "$@" >/dev/null 2>&1; do
        if ! alive "$component"; then
            last_words "$component"
            die "$component ended before it was ready ($what)"
        fi
        if [ "$SECONDS" -ge "$deadline" ]; then
            last_words "$component"
            die "not ready within $seconds seconds: $what"
        fi
        sleep 0.2
    done
}
