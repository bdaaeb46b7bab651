#!/usr/bin/env bash
# A node for one suite: its own /run, registries, containerd. Process 1 of the namespaces of
# scripts/conformance/alone.sh.
# Usage: scripts/conformance/alone.sh scripts/conformance/node.sh SUITE RUNTIME RESULTS
# shellcheck disable=SC2154 # alone.sh sets node
set -euo pipefail
suite=$1 runtime=$2 results=$3
[ "$$" = 1 ] || { echo "$0 is called by scripts/conformance/alone.sh" >&2; exit 2; }
conformance=$PWD/.state/conformance
export PATH=$PWD/.state/shim:$PWD/.state/bin:$conformance/bin:$PATH:/usr/sbin:/sbin TMPDIR=/run/tmp

# the cgroups of the namespace alone
version=$(stat -f -c %T /sys/fs/cgroup)
umount --recursive --lazy /sys/fs/cgroup
if [ "$version" = cgroup2fs ]; then
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
  sed 's/^\| / +/g' /sys/fs/cgroup/cgroup.controllers >/sys/fs/cgroup/cgroup.subtree_control
else
  mount -t tmpfs -o mode=755 cgroup /sys/fs/cgroup
  while IFS=: read -r _ controllers _; do
    dir=/sys/fs/cgroup/${controllers#name=} type=cgroup
    if [ -z "$controllers" ]; then dir=/sys/fs/cgroup/unified type=cgroup2; fi
    mkdir "$dir"
    mount -t "$type" ${controllers:+-o "$controllers"} cgroup "$dir"
  done </proc/self/cgroup
fi

ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward
mount -t tmpfs -o mode=755 run /run
mkdir -m 700 "$node/cache"
mkdir -p "$node/tmp" "$node/cni" "$TMPDIR" /run/netns /run/lock /var/cache/containerd-shim-spin
# a short name, because suites put sockets there
mount --bind "$node/tmp" "$TMPDIR"
mount --bind "$node/cache" /var/cache/containerd-shim-spin
# the addresses that CNI's plugin has given
mkdir -p /var/lib/cni
mount -t tmpfs -o mode=755 cni /var/lib/cni
printf '127.0.0.1 %s\n' localhost gcr.io ghcr.io registry-1.docker.io registry.k8s.io k8s.gcr.io >"$node/hosts"
mount --bind "$node/hosts" /etc/hosts
cp tests/conformance/cni.conflist "$node/cni/"
sed "s|@NODE@|$node|; s|@RUNTIME@|$runtime|" tests/conformance/containerd.toml >"$node/containerd.toml"
# mounts that tests make propagate to the containers
mount --make-rshared /

# shellcheck source=scripts/wait-until.sh
. scripts/wait-until.sh
# shellcheck source=scripts/conformance/services.sh
. scripts/conformance/services.sh
# shellcheck source=scripts/conformance/suites.sh
. scripts/conformance/suites.sh
"run_$suite"
