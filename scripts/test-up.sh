#!/usr/bin/env bash
# Brings up once more what is up: nothing may change. And asks the cluster as its user would, by the kubeconfig that it gets. Usage: scripts/test-up.sh
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/cluster-env.sh
. scripts/test-lines.sh

nodes() { docker inspect -f '{{.Id}} {{.State.StartedAt}}' "$SERVER_NODE" "$WORKER_NODE"; }
pods() {
  "$KUBECTL" get pods -l 'app in (redis, restaurant, kitchen)' --sort-by=.metadata.name \
    -o 'jsonpath={range .items[*]}{.metadata.uid} {.status.containerStatuses[0].restartCount}{"\n"}{end}'
}

heard=$("$KUBECTL" exec deployment/redis -- redis-cli pubsub numsub restaurant | xargs)
check "the kitchen hears of orders once everything is up" same "restaurant 1" "$heard"
nodes_before=$(nodes) pods_before=$(pods)
scripts/up.sh
check "up twice leaves the nodes alone" same "$nodes_before" "$(nodes)"
check "up twice leaves the pods alone" same "$pods_before" "$(pods)"
config=$(mktemp)
trap 'rm -f "$config"' EXIT
scripts/kubeconfig.sh >"$config"
check "the kubeconfig lets a person in" same yes "$(KUBECONFIG=$config "$KUBECTL" auth can-i '*' '*')"
exit "$failed"
