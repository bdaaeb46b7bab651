#!/usr/bin/env bash
# Prints which cluster it is, k3d or local: the one that CLUSTER asks for, or that is up, or that this machine can have. Usage: scripts/cluster-kind.sh
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/cluster-env.sh

hub() { # does Docker Hub answer? It says 401 to whoever has not logged in.
  [ "$(curl -s -m 5 -o /dev/null -w '%{http_code}' https://registry-1.docker.io/v2/)" = 401 ]
}

up=$(docker inspect -f '{{if index .Config.Labels "k3d.cluster"}}k3d{{else}}local{{end}}' "$SERVER_NODE" 2>/dev/null || true)
case "${CLUSTER:-}" in
  k3d | local)
    if [ -n "$up" ] && [ "$up" != "$CLUSTER" ]; then
      echo "a cluster of the other kind is up ($up): \`make down\` first" >&2
      exit 1
    fi
    echo "$CLUSTER"
    ;;
  '')
    if [ -n "$up" ]; then echo "$up"
    elif command -v k3d >/dev/null && docker info >/dev/null 2>&1 && hub; then echo k3d
    elif [ "$(uname -s)" = Linux ]; then echo local
    else echo "needed: docker running, k3d, and Docker Hub within reach" >&2; exit 1
    fi
    ;;
  *) echo "CLUSTER is k3d or local, not $CLUSTER" >&2; exit 2 ;;
esac
