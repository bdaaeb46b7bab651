#!/usr/bin/env bash
# The last steps of the five: labels, images, manifests; then waits until every pod is ready. Pods of an app whose image is new are replaced.
# Usage: scripts/deploy.sh
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/cluster-env.sh
apps=(kitchen restaurant)

wait_until 120 "the registration of both nodes" "$KUBECTL" get node "$SERVER_NODE" "$WORKER_NODE"
"$KUBECTL" wait --for=condition=Ready --timeout=120s "node/$SERVER_NODE" "node/$WORKER_NODE"
"$KUBECTL" label --overwrite nodes "$WORKER_NODE" wasm=yes spin=yes
# Kubernetes knows containerd's version alone; `make dashboard` shows this one.
version=$(docker exec "$WORKER_NODE" containerd-shim-spin-v2 -v)
"$KUBECTL" annotate --overwrite nodes "$WORKER_NODE" "containerd-shim-spin/version=${version##* }"

existed=$("$KUBECTL" get deployments --ignore-not-found -o name "${apps[@]}")
imported=$(scripts/image-import.sh dist/images/kitchen.tar dist/images/restaurant.tar)
"$KUBECTL" apply -f k8s -f apps/kitchen/deploy.yaml -f apps/restaurant/deploy.yaml
if [ -n "$existed" ] && [ -n "$imported" ]; then "$KUBECTL" rollout restart "${apps[@]/#/deployment/}"; fi
# The kitchen's pod is ready before it has found Redis.
kitchen_hears() { [[ $("$KUBECTL" logs -l app=kitchen --tail=-1) == *"Active Channels"* ]]; }
for deployment in redis "${apps[@]}"; do "$KUBECTL" rollout status "deployment/$deployment" --timeout=180s; done
wait_until 60 "the kitchen hears of orders" kitchen_hears
