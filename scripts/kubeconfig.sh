#!/usr/bin/env bash
# Prints a kubeconfig for the cluster that is up, with the administrator's rights: `make kubeconfig >FILE`. `make up` leaves one in .state/kubeconfig.
# Usage: scripts/kubeconfig.sh
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/cluster-env.sh
k3d kubeconfig get "$CLUSTER_NAME" || { echo "no cluster is up: \`make up\`" >&2; exit 1; }
