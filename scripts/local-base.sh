#!/usr/bin/env bash
# The programs of the local base, from their Go modules, into .state/base/bin; for use on this machine kubectl, kubeadm, containerd, ctr and
# containerd-shim-runc-v2 also in .state/bin. The first build takes some ten minutes on two cores. Usage: scripts/local-base.sh
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/cluster-env.sh
bin=$BASE_DIR/bin stamp=$BASE_DIR/bin.stamp
programs=(containerd ctr flanneld ingress kine kubeadm kubectl kubelet kube-apiserver kube-controller-manager kube-proxy kube-scheduler)

current=$({ cat "$0" scripts/local-go.sh; find node-image/local -type f ! -name '*_test.go' ! -name Dockerfile -print0 | sort -z | xargs -0 sha256sum; } | sha256sum)
if [ "$(cat "$stamp" 2>/dev/null)" = "$current" ]; then exit 0; fi

version() { awk -v module="$1" '$1 == module {print $2; exit}' node-image/local/go.mod; }
kubernetes=$(version k8s.io/kubernetes)
minor=${kubernetes#v1.}
flags="-s -w -X github.com/containerd/containerd/v2/version.Version=$(version github.com/containerd/containerd/v2)"
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
  flags+=" -X $package.gitVersion=$kubernetes -X $package.gitMajor=1 -X $package.gitMinor=${minor%%.*} -X $package.gitTreeState=clean"
  flags+=" -X $package.buildDate=1970-01-01T00:00:00Z"
done
mkdir -p "$bin" .state/bin
scripts/local-go.sh build -ldflags "$flags" -o "$bin/" ./cmd/... github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2
# run from images of their own
mkdir -p "$BASE_DIR/pods"
mv "$bin/pause" "$bin/coredns" "$bin/loadbalancer" "$BASE_DIR/pods/"
for program in "${programs[@]}"; do ln -sf kube "$bin/$program"; done
for program in containerd containerd-shim-runc-v2 ctr kubeadm kubectl; do ln -sf "../base/bin/$program" ".state/bin/$program"; done
echo "$current" >"$stamp"
