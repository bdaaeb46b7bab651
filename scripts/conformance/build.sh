#!/usr/bin/env bash
# The suites' programs from their Go modules and what their images are made of, into
# .state/conformance. The first time takes some five minutes on two cores, and the suite `node`
# some ten more. Usage: scripts/conformance/build.sh SUITE...
set -euo pipefail
cd "$(dirname "$0")/../.."
out=$PWD/.state/conformance
mkdir -p "$out/bin" "$out/layers"

(
  cd tests/conformance
  # the flags of scripts/local-go.sh, which compiles the same packages of containerd and Kubernetes
  export CGO_ENABLED=0 GOGC=400 GOFLAGS="-mod=readonly -buildvcs=false -trimpath -gcflags=all=-dwarf=false"
  go build -o "$out/bin/" ./images ./compare ./runtimeconfig
  go build -o "$out/layers/" ./nmeter
  go test -c -o "$out/bin/critest" sigs.k8s.io/cri-tools/cmd/critest
  go test -c -o "$out/bin/client" github.com/containerd/containerd/v2/integration/client
)
scripts/conformance/kubernetes.sh "$out" "$@"
scripts/local-go.sh build -o "$out/layers/nnp" k8s.io/kubernetes/test/images/nonewprivs
cp .state/base/pods/pause "$(command -v busybox)" "$out/layers/"

packages=nginx-light,apache2-bin,curl,hostname,netcat-openbsd
if [ "$(cat "$out/web.stamp" 2>/dev/null)" != "$packages" ]; then
  mmdebstrap --variant=minbase --include="$packages" --aptopt='APT::Install-Recommends "false"' --skip=output/dev \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    bookworm "$out/layers/web.new.tar"
  mv "$out/layers/web.new.tar" "$out/layers/web.tar"
  echo "$packages" >"$out/web.stamp"
fi
