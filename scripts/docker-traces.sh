#!/usr/bin/env bash
# Takes away what a docker daemon leaves in the kernel when it has ended: its rules, its bridge, its cgroup. Only for the project's own daemon, on a
# machine where no other runs. Usage: scripts/docker-traces.sh
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/cluster-env.sh
PATH=$PATH:/usr/sbin:/sbin
if pgrep -x dockerd >/dev/null; then
  echo "another docker daemon runs: its rules and bridge are left alone" >&2
  exit 0
fi

# In one go, so that there is no moment without rules. Docker sets the policy of FORWARD to DROP.
for family in iptables ip6tables; do
  if ! "$family-save" 2>/dev/null | grep -q DOCKER; then continue; fi
  # packets counted so far are of no use to anybody
  "$family-save" | grep -vE 'DOCKER|docker0' | grep -vE -- '-A POSTROUTING -s 172\.[0-9.]+/[0-9]+ .*-j MASQUERADE' |
    sed 's/^:FORWARD DROP/:FORWARD ACCEPT/' | "$family-restore"
done
if ip link show docker0 >/dev/null 2>&1; then ip link del docker0; fi
# The parents of the containers' cgroups are not docker's to remove, it thinks.
find /sys/fs/cgroup -depth -type d \( -path "*/$CLUSTER_NAME" -o -path "*/$CLUSTER_NAME/*" \) -exec rmdir {} + 2>/dev/null || true
# made for plugins, whatever --exec-root says
rmdir /run/docker/plugins /run/docker 2>/dev/null || true
