#!/usr/bin/env bash
# Ends the cluster, of whichever kind, and the project's own docker daemon; puts sysctls back. What was built stays, for the next time.
# Usage: scripts/down.sh
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/cluster-env.sh

if docker info >/dev/null 2>&1; then
  if command -v k3d >/dev/null && k3d cluster get "$CLUSTER_NAME" >/dev/null 2>&1; then
    echo "the k3d cluster"
    k3d cluster delete "$CLUSTER_NAME"
  fi
  nodes=$(docker ps -aq --filter "label=cluster=$CLUSTER_NAME")
  if [ -n "$nodes" ]; then
    echo "the nodes"
    # shellcheck disable=SC2086 # one word a container
    docker rm -f -v $nodes >/dev/null
  fi
  networks=$(docker network ls -q --filter "label=cluster=$CLUSTER_NAME")
  # shellcheck disable=SC2086 # one word a network
  [ -z "$networks" ] || docker network rm $networks >/dev/null
fi
scripts/docker.sh stop
scripts/cluster-sysctl.sh restore
rm -rf "$CLUSTER_DIR" "$KUBECONFIG"
echo "down"
