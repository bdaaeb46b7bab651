#!/usr/bin/env bash
# The life of the cluster that is up, by k3d's own commands: nodes added and deleted, the cluster stopped and started; then a password for Redis, as
# docs/operations.md has it. Usage: scripts/test-k3d.sh
# shellcheck disable=SC2317 # `check` calls the functions
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/cluster-env.sh
. scripts/doc-commands.sh
. scripts/test-lines.sh
url=http://localhost:8088

ready() { "$KUBECTL" wait --for=condition=Ready --timeout=60s "${@/#/node/}"; }
containers() { docker ps -a --format '{{.Names}}' --filter "label=k3d.cluster=$CLUSTER_NAME"; }
answers() { wait_until 120 "the restaurant" curl -fsS -m 5 "$url/menu"; }
rolled_out() { "$KUBECTL" rollout status deployment/redis deployment/kitchen deployment/restaurant --timeout=120s; }
add_nodes() { k3d node create extra -c "$CLUSTER_NAME" --image="$NODE_IMAGE" --replicas 2 && ready k3d-extra-0 k3d-extra-1; }
has_spin() { [[ $("$KUBECTL" get node "$1" -o 'jsonpath={.status.runtimeHandlers[*].name}') == *spin* ]]; }
delete_nodes() { k3d node delete k3d-extra-0 k3d-extra-1 && "$KUBECTL" delete node k3d-extra-0 k3d-extra-1 && ! containers | grep extra; }
stop() { k3d cluster stop "$CLUSTER_NAME" && [ -z "$(docker ps -q --filter "label=k3d.cluster=$CLUSTER_NAME" --filter label=k3d.role=agent)" ]; }
start() { k3d cluster start "$CLUSTER_NAME" --wait --timeout 300s && ready "$SERVER_NODE" "$WORKER_NODE"; }
set_password() { bash -euo pipefail -c "$(commands_in docs/operations.md "### A password for Redis")" && rolled_out; }
refused() { [[ $("$KUBECTL" exec deployment/redis -- env -u REDISCLI_AUTH redis-cli get x 2>&1) == *NOAUTH* ]]; }
cooked() { [[ $(curl -fsS -m 5 "$url/order/GNOCCHI") == *'"ready"'* ]]; }
order() { wait_until 60 "an order" curl -fsS -m 5 -X POST "$url/order/GNOCCHI" && wait_until 60 "GNOCCHI" cooked; }

check "k3d node create --replicas 2 adds two nodes" add_nodes
check "a node of the node image offers the runtime spin" has_spin k3d-extra-1
check "k3d node delete takes them away" delete_nodes
check "k3d cluster stop stops the nodes" stop
check "k3d cluster start starts them" start
check "the pods run after the start" rolled_out
check "the restaurant answers after the start" answers
check "Redis takes a password" set_password
check "Redis refuses a client without the password" refused
check "an order is cooked with the password" order
exit "$failed"
