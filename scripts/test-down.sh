#!/usr/bin/env bash
# Ends the cluster by scripts/down.sh and looks for what it left. Needs a cluster that is up.
# Usage: scripts/test-down.sh
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/cluster-env.sh
PATH=$PATH:/usr/sbin:/sbin
. scripts/test-lines.sh

processes=$(for node in "$SERVER_NODE" "$WORKER_NODE"; do docker top "$node" -eo pid | tail -n +2; done)
network=br-$(docker network inspect -f '{{slice .Id 0 12}}' "$NETWORK")
# the daemon, when it is the project's own
if [ -S "$DOCKER_RUN/docker.sock" ]; then
  processes+=" $(cat "$DOCKER_RUN/docker.pid")"
  network+='|DOCKER|docker0'
fi
cp .state/sysctl .state/sysctl.before
scripts/down.sh

changed=$(while read -r file value; do
  [ "$(cat "$file")" = "$value" ] || echo "$file was $value and is $(cat "$file")"
done <.state/sysctl.before)
rm .state/sysctl.before
check "no process is left" none "$(for process in $processes; do ps -o pid=,args= -p "$process" || true; done)"
check "no mount is left" none "$(grep -E "$DOCKER_RUN|$PWD/.state" /proc/mounts || true)"
check "no interface is left" none "$(ip -o link show | grep -E "$network" || true)"
check "no packet filter rule is left" none "$(iptables-save | grep -E "$network" || true)"
check "no cgroup is left" none "$(find /sys/fs/cgroup -type d -path "*/$CLUSTER_NAME*")"
check "every sysctl is as before" none "$changed"
check "nothing listens on port 8088" none "$(ss -Hltn 'sport = :8088')"
exit "$failed"
