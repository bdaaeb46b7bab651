#!/usr/bin/env bash
# Puts image archives (OCI or docker) on both nodes and prints which; what a node already has is skipped, and forgotten with the node.
# Usage: scripts/image-import.sh ARCHIVE...
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/cluster-env.sh
mkdir -p "$CLUSTER_DIR"
server=$(docker inspect -f '{{.Id}}' "$SERVER_NODE") worker=$(docker inspect -f '{{.Id}}' "$WORKER_NODE")

for archive in "$@"; do
  digest=$(sha256sum "$archive" | cut -d ' ' -f 1)
  missing=()
  for node in "$server" "$worker"; do
    [ -e "$CLUSTER_DIR/image-$node-$digest" ] || missing+=("$node")
  done
  if [ ${#missing[@]} -eq 0 ]; then continue; fi
  k3d image import -c "$CLUSTER_NAME" "$archive" >&2
  for node in "${missing[@]}"; do touch "$CLUSTER_DIR/image-$node-$digest"; done
  echo "$archive"
done
