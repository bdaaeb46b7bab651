#!/usr/bin/env bash
# Both nodes of the local cluster as docker containers, under the names that k3d gives; they are left alone when they run and their images are current.
# Usage: scripts/local-up.sh
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/cluster-env.sh
field() { docker inspect -f "$2" "$1" 2>/dev/null || echo none; }

# node NAME ROLE IMAGE CREDENTIALS [docker arguments]
node() {
  local name=$1 role=$2 image=$3 credentials=$4
  shift 4
  if [ "$(field "$name" '{{.Image}}')" = "$(docker image inspect -f '{{.Id}}' "$image")" ]; then
    [ "$(field "$name" '{{.State.Running}}')" = true ] || docker start "$name"
    return
  fi
  docker rm -f -v "$name" 2>/dev/null || true
  # Not --privileged, though nearly that: it would ask for CAP_SYS_RESOURCE, which not every root has. spin-node makes /sys writable itself.
  docker create --name "$name" --hostname "$name" --network "$NETWORK" --label "cluster=$CLUSTER_NAME" \
    --cap-add ALL --cap-drop SYS_RESOURCE --cgroupns private --device /dev/kmsg --device-cgroup-rule 'a *:* rwm' \
    --security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined \
    --tmpfs /run:exec --tmpfs /tmp:exec -v /lib/modules:/lib/modules:ro --add-host registry.local:host-gateway \
    -e INSECURE_REGISTRIES=registry.local:5000 "$@" "$image" "$role"
  docker cp "$credentials/." "$name:/etc/kubernetes"
  docker start "$name"
}

docker network inspect "$NETWORK" >/dev/null 2>&1 || docker network create --label "cluster=$CLUSTER_NAME" "$NETWORK"
# A new server has an empty database, so its worker must be new too.
if [ "$(field "$SERVER_NODE" '{{.Image}}')" != "$(docker image inspect -f '{{.Id}}' "$LOCAL_BASE")" ]; then
  docker rm -f -v "$SERVER_NODE" "$WORKER_NODE" 2>/dev/null || true
  rm -rf "$CLUSTER_DIR"
fi
scripts/local-pki.sh
node "$SERVER_NODE" server "$LOCAL_BASE" "$CLUSTER_DIR/server" -p 127.0.0.1:8088:80 -p 127.0.0.1::6443
node "$WORKER_NODE" agent "$NODE_IMAGE" "$CLUSTER_DIR/worker"
