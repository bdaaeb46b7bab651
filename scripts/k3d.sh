#!/usr/bin/env bash
# The k3d tool: the one on the PATH, otherwise built from its Go module, in the version of node-image/k3d/go.mod, into .state/bin.
# Usage: scripts/k3d.sh
set -euo pipefail
cd "$(dirname "$0")/.."
stamp=.state/k3d.stamp
PATH=${PATH//:$PWD\/.state\/bin/}
if command -v k3d >/dev/null; then k3d version; exit 0; fi
command -v go >/dev/null || { echo "missing: k3d (https://k3d.io), or Go to build it" >&2; exit 1; }

current=$(cat "$0" node-image/k3d/go.* node-image/Dockerfile | sha256sum)
if [ "$(cat "$stamp" 2>/dev/null)" = "$current" ]; then exit 0; fi
version=$(awk '$1 == "require" && $2 ~ /k3d/ {print $3; exit}' node-image/k3d/go.mod)
# The k3s that `k3d cluster create` takes without --image: the same as the node image's.
k3s=$(sed -n 's/^ARG BASE_IMAGE=rancher\/k3s:\(.*\)/\1/p' node-image/Dockerfile)
package=github.com/k3d-io/k3d/v5
mkdir -p .state/bin
CGO_ENABLED=0 go build -C node-image/k3d -mod=readonly -trimpath -buildvcs=false \
  -ldflags "-s -w -X $package/version.Version=$version -X $package/version.K3sVersion=$k3s" -o "$PWD/.state/bin/k3d" "$package"
.state/bin/k3d version
echo "$current" >"$stamp"
