#!/usr/bin/env bash
# Brings up once more what is up: nothing may change. And asks the cluster as its user would, by the kubeconfig that it gets. One line for each test, as
# `go test -v` prints them. Usage: scripts/test-up.sh
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/cluster-env.sh
failed=0

same() { # NAME BEFORE AFTER
  if [ "$2" = "$3" ]; then
    echo "--- PASS: $1"
  else
    printf -- '--- FAIL: %s\nbefore:\n%s\nafter:\n%s\n' "$1" "$2" "$3"
    failed=1
  fi
}

nodes() { docker inspect -f '{{.Id}} {{.State.StartedAt}}' "$SERVER_NODE" "$WORKER_NODE"; }
pods() {
  "$KUBECTL" get pods -l 'app in (redis, restaurant, kitchen)' --sort-by=.metadata.name \
    -o 'jsonpath={range .items[*]}{.metadata.uid} {.status.containerStatuses[0].restartCount}{"\n"}{end}'
}

heard=$("$KUBECTL" exec deployment/redis -- redis-cli pubsub numsub restaurant | xargs)
same "the kitchen hears of orders once everything is up" "restaurant 1" "$heard"
nodes_before=$(nodes) pods_before=$(pods)
scripts/up.sh
same "up twice leaves the nodes alone" "$nodes_before" "$(nodes)"
same "up twice leaves the pods alone" "$pods_before" "$(pods)"
config=$(mktemp)
trap 'rm -f "$config"' EXIT
scripts/kubeconfig.sh >"$config"
same "the kubeconfig lets a person in" yes "$(KUBECONFIG=$config "$KUBECTL" auth can-i '*' '*')"
exit $failed
