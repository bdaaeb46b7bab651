#!/usr/bin/env bash
# Prints what the cluster's nodes are made of, k3s or local: what BASE asks for, or the cluster that is up has, or this machine can have.
# Usage: scripts/base-kind.sh
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/cluster-env.sh

hub() { # does Docker Hub answer? Without credentials its answer is 401.
  [ "$(curl -s -m 5 -o /dev/null -w '%{http_code}' https://registry-1.docker.io/v2/)" = 401 ]
}

up=$(cat "$CLUSTER_DIR/base" 2>/dev/null || true)
case "${BASE:-}" in
  k3s | local)
    if [ -n "$up" ] && [ "$up" != "$BASE" ]; then
      echo "a cluster of the other base is up ($up): \`make down\` first" >&2
      exit 1
    fi
    echo "$BASE"
    ;;
  '')
    if [ -n "$up" ]; then echo "$up"
    elif docker info >/dev/null 2>&1 && hub; then echo k3s
    elif [ "$(uname -s)" = Linux ]; then echo local
    else echo "needed: docker running, and Docker Hub within reach" >&2; exit 1
    fi
    ;;
  *) echo "BASE is k3s or local, not $BASE" >&2; exit 2 ;;
esac
