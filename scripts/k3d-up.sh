#!/usr/bin/env bash
# The cluster by the k3d tool: its server as k3d makes it, its worker from the node image on the server's own k3s. Left alone when it is there.
# Usage: scripts/k3d-up.sh
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/cluster-env.sh
exists() { docker container inspect "$1" >/dev/null 2>&1; }

if exists "$SERVER_NODE"; then
  k3d cluster start "$CLUSTER_NAME" --wait
else
  k3d cluster create "$CLUSTER_NAME" --port "8088:80@loadbalancer" --kubeconfig-update-default=false --kubeconfig-switch-context=false --wait
fi
# A node that is newer than its server is refused in the long run; one of the same image never is.
BASE_IMAGE=$(docker inspect -f '{{.Config.Image}}' "$SERVER_NODE")
export BASE_IMAGE
scripts/node-image.sh quick
if exists "$WORKER_NODE" && [ "$(docker inspect -f '{{.Image}}' "$WORKER_NODE")" != "$(docker image inspect -f '{{.Id}}' "$NODE_IMAGE")" ]; then
  k3d node delete "$WORKER_NODE"
  # with it goes the password that k3s keeps for the node; its successor brings another
  docker exec "$SERVER_NODE" kubectl delete node "$WORKER_NODE" --ignore-not-found
fi
exists "$WORKER_NODE" || k3d node create "$CLUSTER_NAME-worker" -c "$CLUSTER_NAME" --image="$NODE_IMAGE" --wait
