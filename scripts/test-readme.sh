#!/usr/bin/env bash
# Types what the README says under "Step by step with k3d", and its curl lines, on a machine without a cluster. On the local base three things differ:
# the tests' own node image is taken instead of `make node-image`, docker knows the base by the name of the image that k3d takes by default, and the image
# of Redis is imported. Needs what `make up` built. Usage: scripts/test-readme.sh
# shellcheck disable=SC2317 # `check` calls the functions
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p .state/cluster
echo local >.state/cluster/base
scripts/cluster-sysctl.sh save
scripts/docker.sh start
. scripts/cluster-env.sh
. scripts/doc-commands.sh
. scripts/test-lines.sh
export KUBECONFIG=$PWD/.state/readme-kubeconfig
# `k3d version` prints "k3s version v1.35.5-k3s1 (default)"
default=docker.io/rancher/k3s:$(k3d version | awk '/^k3s/ {print $3}')
docker tag "$LOCAL_BASE" "$default"
trap 'docker rmi "$default" >/dev/null; rm -f "$KUBECONFIG"' EXIT

type_in() { bash -euo pipefail -c "$1"; }

mapfile -t steps < <(commands_in README.md "## Step by step with k3d")
mapfile -t orders < <(commands_in README.md "Then order a pizza")
check "the README has its ten steps and three orders" [ "${#steps[@]} ${#orders[@]}" = "10 3" ]
for step in "${steps[@]}"; do
  case $step in
    "make node-image") check "$step" env BASE_IMAGE="$default" scripts/node-image.sh quick ;;
    *) check "$step" type_in "$step" ;;
  esac
  case $step in
    *"image import"*) k3d image import -c "$CLUSTER_NAME" "$BASE_DIR/images/redis.tar" ;;
  esac
done
check "the restaurant answers" wait_until 120 "the restaurant" curl -fsS -m 5 http://localhost:8088/menu
for order in "${orders[@]}"; do check "$order" type_in "${order/curl/curl -fsS}"; done
exit "$failed"
