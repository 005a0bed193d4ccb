#!/bin/sh
# A Raincheck worker in shell, with curl: runs a command for each job of a queue, the input on its standard input, the
# result from its standard output.
#
#     worker.sh QUEUE COMMAND [ARGUMENT…]        RAINCHECK_URL (http://localhost:7246)
set -u
url=${RAINCHECK_URL:-http://localhost:7246}
queue=$1
shift
result=$(mktemp)
renewing=
trap 'rm -f "$result"; [ -z "$renewing" ] || kill "$renewing" 2>/dev/null' EXIT
trap 'exit 143' TERM INT

post() { # PATH TYPE [CURL'S OPTIONS…]
    path=$1 type=$2
    shift 2
    curl -sS --max-time 90 -X POST -H "Content-Type: $type" "$@" "$url$path"
}

# The first such field: what stands before it is Raincheck's own, so no input can pretend to be it.
first() { grep -o "$1" | head -n 1 | sed 's/.*"//'; }

while :; do
    claimed=$(post "/v1/queues/$queue/claim?wait=30" application/json \
        -d "{\"worker\":\"${RAINCHECK_WORKER:-shell-$$}\",\"lease_for\":\"30s\"}") || {
        sleep 1
        continue
    }
    lease=$(printf '%s\n' "$claimed" | first '"lease":"l_[0-9a-z]*')
    job=$(printf '%s\n' "$claimed" | first '"job":{"id":"job_[0-9a-z]*')
    if [ -z "$lease" ]; then
        # Nothing came within 30 s, or a problem did.
        [ -z "$claimed" ] || { printf '%s\n' "$claimed" >&2; sleep 1; }
        continue
    fi
    while sleep 10; do post "/v1/leases/$lease/renew" application/json -f >/dev/null || exit; done &
    renewing=$!
    if curl -sS "$url/v1/jobs/$job/input" | "$@" >"$result"; then
        post "/v1/leases/$lease/succeed" text/plain --data-binary "@$result"
    else
        post "/v1/leases/$lease/fail" application/json -d "{\"error\":{\"code\":\"exit-$?\"}}"
    fi
    echo
    kill "$renewing"
    renewing=
done
