#!/usr/bin/env bash
# The local base as a docker image, with those of k3d's load balancer and tools (LOCAL_… in cluster-env.sh), and the image archives of the pods that every cluster has: pause and CoreDNS inside the
# base, Redis as .state/base/images/redis.tar. Usage: scripts/local-image.sh
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/cluster-env.sh
. scripts/docker-build.sh
images=$BASE_DIR/images
mkdir -p "$images"

# layer SOURCE: a root file system as it is, or one with a program and nothing else
layer() {
  case $1 in
    *.tar) cat "$1" ;;
    *) tar -C "$(dirname "$1")" --owner=0 --group=0 -c "$(basename "$1")" ;;
  esac
}

# archive NAME REFERENCE SOURCE CHANGE...: an image of one layer, unless it is there and newer than its source
archive() {
  local target=$images/$1.tar reference=$2 source=$3 changes=()
  shift 3
  if [ "$target" -nt "$source" ]; then return; fi
  for change in "$@"; do changes+=(--change "$change"); done
  layer "$source" | docker import "${changes[@]}" - "$reference"
  docker save -o "$target" "$reference"
}

archive pause spin-node.local/pause:1 "$BASE_DIR/pods/pause" 'ENTRYPOINT ["/pause"]' 'USER 65535:65535'
archive coredns spin-node.local/coredns:1 "$BASE_DIR/pods/coredns" 'ENTRYPOINT ["/coredns"]'
# under the name of the image that k8s/redis.yaml asks for, with its user
archive redis docker.io/library/redis:7 "$BASE_DIR/redis.tar" 'USER 999:999' 'WORKDIR /data' 'CMD ["redis-server"]'

# is the image there, and newer than all that is in it?
current() {
  docker image inspect "$LOCAL_ROOTFS" "$LOCAL_BASE" "$LOCAL_LOADBALANCER" "$LOCAL_TOOLS" || return 1
  for part in "$BASE_DIR"/{bin.stamp,node.tar,images/pause.tar,images/coredns.tar} node-image/local/Dockerfile; do
    [ "$BASE_DIR/image.stamp" -nt "$part" ] || return 1
  done
}
if current >/dev/null 2>&1; then exit 0; fi
docker import "$BASE_DIR/node.tar" "$LOCAL_ROOTFS"
rm -rf "$BASE_DIR/context"
mkdir -p "$BASE_DIR/context/images"
cp -al "$BASE_DIR/bin" "$BASE_DIR/pods/pause" "$BASE_DIR/pods/loadbalancer" "$BASE_DIR/context/"
cp -al "$images/pause.tar" "$images/coredns.tar" "$BASE_DIR/context/images/"
for image in "loadbalancer $LOCAL_LOADBALANCER" "tools $LOCAL_TOOLS" "node $LOCAL_BASE"; do
  docker_build -t "${image#* }" --target "${image%% *}" --build-arg "ROOTFS=$LOCAL_ROOTFS" -f node-image/local/Dockerfile "$BASE_DIR/context"
done
rm -rf "$BASE_DIR/context"
touch "$BASE_DIR/image.stamp"
