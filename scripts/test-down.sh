#!/usr/bin/env bash
# Ends the cluster by scripts/down.sh and looks for what it left: one line for each test, as `go test -v` prints them. Needs a cluster that is up.
# Usage: scripts/test-down.sh
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/cluster-env.sh
PATH=$PATH:/usr/sbin:/sbin
failed=0

none() { # NAME WHAT-IS-LEFT
  if [ -z "$2" ]; then
    echo "--- PASS: $1"
  else
    printf -- '--- FAIL: %s\n%s\n' "$1" "$2"
    failed=1
  fi
}

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
none "no process is left" "$(for process in $processes; do ps -o pid=,args= -p "$process" || true; done)"
none "no mount is left" "$(grep -E "$DOCKER_RUN|$PWD/.state" /proc/mounts || true)"
none "no interface is left" "$(ip -o link show | grep -E "$network" || true)"
none "no packet filter rule is left" "$(iptables-save | grep -E "$network" || true)"
none "no cgroup is left" "$(find /sys/fs/cgroup -type d -path "*/$CLUSTER_NAME*")"
none "every sysctl is as before" "$changed"
none "nothing listens on port 8088" "$(ss -Hltn 'sport = :8088')"
exit $failed
