#!/usr/bin/env bash
# Root file systems from Debian's packages: the node's and that of Redis, as .state/base/{node,redis}.tar. Usage: scripts/local-rootfs.sh
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/cluster-env.sh
suite=bookworm
# what Kubernetes calls on a node: runc and the CNI plugins, iptables and ipset for its services, mount for its volumes
node=(ca-certificates containernetworking-plugins curl iproute2 ipset iptables kmod mount procps runc util-linux)
# curl: so that the image also serves as a sidecar that asks its neighbour
redis=(curl redis-server redis-tools)

make_rootfs() { # NAME PACKAGES [mmdebstrap options]
  local target=$BASE_DIR/$1.tar stamp=$BASE_DIR/$1.stamp
  if [ -e "$target" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$suite ${*:2}" ]; then return; fi
  mkdir -p "$BASE_DIR"
  # docker and containerd make devices themselves
  mmdebstrap --variant=minbase --include="$2" --aptopt='APT::Install-Recommends "false"' --skip=output/dev \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    "${@:3}" "$suite" "$BASE_DIR/$1.new.tar"
  mv "$BASE_DIR/$1.new.tar" "$target"
  echo "$suite ${*:2}" >"$stamp"
}

join() { local IFS=,; echo "$*"; }
# As k3d's entrypoint calls them. dash does not know the names of signals with SIG, which that script has.
# shellcheck disable=SC2016 # mmdebstrap runs it, with the directory as its argument
make_rootfs node "$(join "${node[@]}")" --customize-hook='ln -sf bash "$1/bin/sh"; ln -s /usr/local/bin/spin-node "$1/bin/k3s"; mkdir "$1/output"'
make_rootfs redis "$(join "${redis[@]}")"
