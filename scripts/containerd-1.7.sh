#!/usr/bin/env bash
# containerd 1.7, which many nodes still have, from its Go module into .state/containerd-1.7: for the
# tests under each release. The version is that of tests/containerd/containerd-1.7/go.mod; the first
# build takes some two minutes on two cores. Usage: scripts/containerd-1.7.sh
set -euo pipefail
cd "$(dirname "$0")/.."
module=tests/containerd/containerd-1.7 out=$PWD/.state/containerd-1.7
stamp=$out/stamp

current=$({ go env GOVERSION; cat "$0" "$module/go.mod" "$module/go.sum"; } | sha256sum)
if [ "$(cat "$stamp" 2>/dev/null)" = "$current" ]; then exit 0; fi

version=$(awk '$1 == "github.com/containerd/containerd" {print $2; exit}' "$module/go.mod")
mkdir -p "$out"
export CGO_ENABLED=0 GOGC=400 GOFLAGS="-mod=readonly -buildvcs=false -trimpath -gcflags=all=-dwarf=false"
go build -C "$module" -ldflags "-s -w -X github.com/containerd/containerd/version.Version=$version" -o "$out/" tool
echo "$current" >"$stamp"
