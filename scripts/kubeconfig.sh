#!/usr/bin/env bash
# Prints a kubeconfig for the cluster that is up, with the administrator's rights: `make kubeconfig >FILE`. `make up` leaves one in .state/kubeconfig.
# Usage: scripts/kubeconfig.sh
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/cluster-env.sh
case "$(docker inspect -f '{{if index .Config.Labels "k3d.cluster"}}k3d{{else}}local{{end}}' "$SERVER_NODE" 2>/dev/null || true)" in
  k3d) k3d kubeconfig get "$CLUSTER_NAME" ;;
  local)
    # docker chooses the port anew at each start of the container
    address=$(docker port "$SERVER_NODE" 6443/tcp | head -n 1)
    docker exec "$SERVER_NODE" cat /etc/kubernetes/admin.conf | sed "s#server: https://.*#server: https://$address#"
    ;;
  *) echo "no cluster is up: \`make up\`" >&2; exit 1 ;;
esac
