#!/usr/bin/env bash
# Ends the cluster and the project's own docker daemon; puts sysctls back. What was built stays, for the next time.
# Usage: scripts/down.sh
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/cluster-env.sh

if docker info >/dev/null 2>&1 && command -v k3d >/dev/null && k3d cluster get "$CLUSTER_NAME" >/dev/null 2>&1; then
  echo "the cluster"
  k3d cluster delete "$CLUSTER_NAME"
fi
scripts/docker.sh stop
scripts/cluster-sysctl.sh restore
rm -rf "$CLUSTER_DIR" "$KUBECONFIG"
echo "down"
