#!/usr/bin/env bash
# The go tool in node-image/local, always with the same flags: with others it would compile Kubernetes once more. Usage: scripts/local-go.sh COMMAND...
set -euo pipefail
cd "$(dirname "$0")/../node-image/local"
# no debug information and a lazier collector in the compiler: less to do, and nobody debugs Kubernetes here
export CGO_ENABLED=0 GOGC=400 GOFLAGS="-mod=readonly -buildvcs=false -trimpath -gcflags=all=-dwarf=false"
exec go "$@"
