#!/bin/sh
# Try compose.yaml for real: ./just compose-test [pytest arguments]. Needs docker and docker-compose, as root or in their
# group; if no engine answers and this is root, one is started on the storage driver overlay2 and stopped at the end.
set -eu
cd "$(dirname "$0")/../.."
if ! docker info >/dev/null 2>&1; then
    [ "$(id -u)" = 0 ] || { echo "compose-test: no Docker engine answers; start one" >&2; exit 1; }
    state=$(mktemp -d)
    export TRUNKLINE_DOCKERD_LOG="$state/dockerd.log"
    dockerd --storage-driver=overlay2 --pidfile="$state/pid" >"$TRUNKLINE_DOCKERD_LOG" 2>&1 &
    TRUNKLINE_DOCKERD_PID=$!
    export TRUNKLINE_DOCKERD_PID
    # The tests may have restarted it under another process id.
    trap 'kill "$(cat "$state/pid")" 2>/dev/null || true' EXIT
    for _ in $(seq 60); do docker info >/dev/null 2>&1 && break; sleep 0.5; done
    docker info >/dev/null || { tail -5 "$TRUNKLINE_DOCKERD_LOG" >&2; exit 1; }
fi
tests/compose/build.sh
TRUNKLINE_COMPOSE_TEST=1 python -m pytest -n 0 -s tests/compose tests/containers "$@"
