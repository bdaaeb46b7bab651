#!/usr/bin/env bash
# The cluster by the k3d tool: its server on the base, k3s or local, its worker from the node image on the same base. Nodes that are there and current are
# left alone. Usage: scripts/cluster-up.sh
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/cluster-env.sh
base=$(scripts/base-kind.sh)
image_of() { docker inspect -f '{{.Image}}' "$1" 2>/dev/null; }
id() { docker image inspect -f '{{.Id}}' "$1"; }

create=(--config node-image/k3d.yaml --kubeconfig-update-default=false --kubeconfig-switch-context=false --wait --timeout 300s)
if [ "$base" = local ]; then
  create+=(--image "$LOCAL_BASE")
  # A base that was built anew: a server keeps its data in its container, so that the cluster begins anew too.
  if server=$(image_of "$SERVER_NODE") && [ "$server" != "$(id "$LOCAL_BASE")" ]; then k3d cluster delete "$CLUSTER_NAME"; fi
fi
if image_of "$SERVER_NODE" >/dev/null; then
  k3d cluster start "$CLUSTER_NAME" --wait --timeout 300s
else
  rm -f "$CLUSTER_DIR"/image-*
  k3d cluster create "${create[@]}"
fi
# A node that is newer than its server is refused in the long run; one of the same image never is.
BASE_IMAGE=$(docker inspect -f '{{.Config.Image}}' "$SERVER_NODE")
export BASE_IMAGE
scripts/node-image.sh quick
if worker=$(image_of "$WORKER_NODE") && [ "$worker" != "$(id "$NODE_IMAGE")" ]; then
  k3d node delete "$WORKER_NODE"
  # With it goes the password that k3s keeps for the node; its successor brings another.
  docker exec "$SERVER_NODE" kubectl delete node "$WORKER_NODE" --ignore-not-found
fi
image_of "$WORKER_NODE" >/dev/null ||
  k3d node create "$CLUSTER_NAME-worker" -c "$CLUSTER_NAME" --image="$NODE_IMAGE" --wait --timeout 300s
