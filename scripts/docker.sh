#!/usr/bin/env bash
# A docker daemon to talk to: the one that is there, otherwise one of the project's own, kept apart from any other by its folders.
# Usage: scripts/docker.sh start|stop
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/cluster-env.sh
PATH=$PATH:/usr/sbin:/sbin
pidfile=$DOCKER_RUN/docker.pid

# has_capability NUMBER (linux/capability.h): may this root ever have it?
has_capability() { [ $((0x$(awk '/^CapBnd/ {print $2}' /proc/self/status) >> $1 & 1)) = 1 ]; }

start() {
  if docker info >/dev/null 2>&1; then return; fi
  if [ "$(id -u)" != 0 ]; then
    echo "docker does not answer: start it, or become a member of its group, or run this as root" >&2
    exit 1
  fi
  if [ -n "${DOCKER_HOST:-}" ] && [ "$DOCKER_HOST" != "unix://$DOCKER_RUN/docker.sock" ]; then
    echo "docker does not answer at DOCKER_HOST=$DOCKER_HOST" >&2
    exit 1
  fi
  mkdir -p "$DOCKER_RUN"
  local runtime=()
  # k3d's containers are privileged, and runc fails to give them a capability that this root lacks.
  if ! has_capability 24; then
    runtime=(--add-runtime "without-sys-resource=$BASE_DIR/bin/runc-without-sys-resource" --default-runtime without-sys-resource)
  fi
  # no IPv6 rules: the cluster has no IPv6, and rules that were never made need not be taken away
  setsid dockerd --data-root "$PWD/.state/docker" --exec-root "$DOCKER_RUN/exec" --pidfile "$pidfile" -H "unix://$DOCKER_RUN/docker.sock" \
    --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent "/$CLUSTER_NAME" --ip6tables=false "${runtime[@]}" >.state/logs/dockerd.log 2>&1 </dev/null &
  if ! wait_until 60 "docker's daemon" docker -H "unix://$DOCKER_RUN/docker.sock" info; then
    tail -n 20 .state/logs/dockerd.log >&2
    exit 1
  fi
}

stop() {
  if [ -f "$pidfile" ]; then
    # what newer builds have replaced
    docker image prune -f >/dev/null || true
    pid=$(cat "$pidfile")
    kill -TERM "$pid" 2>/dev/null || true
    wait_until 30 "the end of docker's daemon" bash -c "! kill -0 $pid"
  fi
  if [ -d "$DOCKER_RUN" ]; then
    scripts/docker-traces.sh
    rm -rf "$DOCKER_RUN"
  fi
}

case "${1:-}" in
  start | stop) "$1" ;;
  *) echo "usage: $0 start|stop" >&2; exit 2 ;;
esac
