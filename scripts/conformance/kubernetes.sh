#!/usr/bin/env bash
# Kubernetes' tests of a node, or the program of their images, from its Go module, into
# DIRECTORY/bin or DIRECTORY/layers. Usage: scripts/conformance/kubernetes.sh DIRECTORY images|tests
set -euo pipefail
cd "$(dirname "$0")/../.."
out=$1
go_here() { scripts/local-go.sh "$1" -C "$PWD/tests/conformance/node" "${@:2}"; }

case $2 in
  images)
    go_here build -ldflags "-s -w" -o "$out/layers/agnhost" k8s.io/kubernetes/test/images/agnhost
    # the certificate that its servers are given
    cp -f "$(go_here list -m -f '{{.Dir}}' k8s.io/kubernetes)/test/images/agnhost/porter/localhost".{crt,key} "$out/layers/"
    ;;
  tests)
    go_here build -o "$out/bin/ginkgo" github.com/onsi/ginkgo/v2/ginkgo
    # vet would go through all of Kubernetes
    go_here test -c -vet=off -o "$out/bin/e2e_node.test" k8s.io/kubernetes/test/e2e_node
    ;;
esac
