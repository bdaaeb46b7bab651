#!/usr/bin/env bash
# The node image, a base plus the shim: bachelors-project/node:latest. The shim is dist/containerd-shim-spin-v2 where it is there, otherwise docker compiles it.
# BASE_IMAGE: the base, when it is not the k3s image that node-image/Dockerfile names. Usage: scripts/node-image.sh
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/cluster-env.sh
. scripts/docker-build.sh
arguments=(-t "$NODE_IMAGE" -f node-image/Dockerfile)
if [ -n "${BASE_IMAGE:-}" ]; then arguments+=(--build-arg "BASE_IMAGE=$BASE_IMAGE"); fi
if [ -e dist/containerd-shim-spin-v2 ]; then arguments+=(--target prebuilt); fi
docker_build "${arguments[@]}" .
