#!/usr/bin/env bash
# Kubernetes' tests of a node and the program of their images, from its Go module, into
# DIRECTORY/bin and DIRECTORY/layers. The tests only where the suite `node` is named.
# Usage: scripts/conformance/kubernetes.sh DIRECTORY SUITE...
set -euo pipefail
cd "$(dirname "$0")/../../tests/conformance/node"
out=$1
shift
# the flags of scripts/local-go.sh, which compiles the same packages
export CGO_ENABLED=0 GOGC=400 GOFLAGS="-mod=readonly -buildvcs=false -trimpath -gcflags=all=-dwarf=false"
go build -ldflags "-s -w" -o "$out/layers/agnhost" k8s.io/kubernetes/test/images/agnhost
# the certificate that its servers are given
cp -f "$(go list -m -f '{{.Dir}}' k8s.io/kubernetes)/test/images/agnhost/porter/localhost".{crt,key} "$out/layers/"
if [[ " $* " = *" node "* ]]; then
  go build -o "$out/bin/ginkgo" github.com/onsi/ginkgo/v2/ginkgo
  # vet would go through all of Kubernetes
  go test -c -vet=off -o "$out/bin/e2e_node.test" k8s.io/kubernetes/test/e2e_node
fi
