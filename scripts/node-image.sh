#!/usr/bin/env bash
# The node image, a base plus the shim: bachelors-project/node:latest. The shim is the one that scripts/shim.sh made, of that kind, otherwise docker compiles it.
# BASE_IMAGE: the base, when it is not the k3s image that node-image/Dockerfile names. Usage: scripts/node-image.sh [release|quick]
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/cluster-env.sh
. scripts/docker-build.sh
kind=${1:-release}
case $kind in
  release) shim=dist ;;
  quick) shim=.state/shim ;;
  *) echo "usage: $0 [release|quick]" >&2; exit 2 ;;
esac
arguments=(-t "$NODE_IMAGE" -f node-image/Dockerfile --build-arg "KIND=$kind")
if [ -n "${BASE_IMAGE:-}" ]; then arguments+=(--build-arg "BASE_IMAGE=$BASE_IMAGE"); fi
if [ -e "$shim/containerd-shim-spin-v2" ]; then arguments+=(--target prebuilt --build-arg "SHIM=$shim"); fi
docker_build "${arguments[@]}" .
