#!/usr/bin/env bash
# The programs of suites from their Go modules and what their images are made of, into
# .state/conformance. The first time takes some five minutes on two cores, and the suite `node`
# some ten more. Usage: scripts/conformance/build.sh SUITE...
set -euo pipefail
cd "$(dirname "$0")/../.."
out=$PWD/.state/conformance
containerd=github.com/containerd/containerd/v2
mkdir -p "$out/bin" "$out/layers"

# go_in MODULE COMMAND...: go's command in a directory with a module, with local-go.sh's flags.
go_in() { scripts/local-go.sh "$2" -C "$PWD/$1" "${@:3}"; }

build_critest() { go_in tests/conformance test -c -o "$out/bin/critest" sigs.k8s.io/cri-tools/cmd/critest; }
build_critest_1_6() { build_critest && go_in tests/conformance build -o "$out/bin/" ./runtimeconfig; }
build_critest_1_7() { build_critest_1_6; }
build_client() { go_in tests/conformance test -c -o "$out/bin/client" "$containerd/integration/client"; }
build_cri() { go_in tests/conformance test -c -o "$out/bin/cri" "$containerd/integration"; }

build_runtime-tools() {
  local tools=github.com/opencontainers/runtime-tools module=tests/conformance/runtime-tools
  mkdir -p "$out/runtime-tools/validation"
  go_in tests/conformance build -o "$out/bin/" ./oci-cli
  go_in "$module" build -o "$out/runtime-tools/" "$tools/cmd/runtimetest"
  go_in "$module" build -o "$out/runtime-tools/validation/" "$tools/validation/..."
  cp -f "$(go_in "$module" list -m -f '{{.Dir}}' "$tools")"/rootfs-*.tar.gz "$out/runtime-tools/"
}

build_node() {
  go_in tests/conformance/node build -o "$out/bin/ginkgo" github.com/onsi/ginkgo/v2/ginkgo
  # vet would go through all of Kubernetes
  go_in tests/conformance/node test -c -vet=off -o "$out/bin/e2e_node.test" k8s.io/kubernetes/test/e2e_node
}

# The program of Kubernetes' images, with the certificate that its servers are given.
build_agnhost() {
  local images=k8s.io/kubernetes/test/images/agnhost
  go_in tests/conformance/node build -ldflags "-s -w" -o "$out/layers/agnhost" "$images"
  cp -f "$(go_in tests/conformance/node list -f '{{.Dir}}' "$images")"/porter/localhost.{crt,key} "$out/layers/"
}

go_in tests/conformance build -o "$out/bin/" ./images ./compare
go_in tests/conformance build -o "$out/layers/" ./nmeter
build_agnhost
scripts/local-go.sh build -o "$out/layers/nnp" k8s.io/kubernetes/test/images/nonewprivs
cp .state/base/pods/pause "$(command -v busybox)" "$out/layers/"
for suite in "$@"; do
  declare -F "build_$suite" >/dev/null || { echo "$suite is no suite" >&2; exit 2; }
  "build_$suite"
done

packages=nginx-light,apache2-bin,curl,hostname,netcat-openbsd
if [ "$(cat "$out/web.stamp" 2>/dev/null)" != "$packages" ]; then
  mmdebstrap --variant=minbase --include="$packages" --aptopt='APT::Install-Recommends "false"' --skip=output/dev \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    bookworm "$out/layers/web.new.tar"
  mv "$out/layers/web.new.tar" "$out/layers/web.tar"
  echo "$packages" >"$out/web.stamp"
fi
