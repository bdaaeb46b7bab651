#!/usr/bin/env bash
# Runs a command as process 1 of namespaces of its own: processes, mounts, network, IPC, cgroups.
# All that it started ends with it, and with this script. Its cgroups are removed, and so is its
# directory, which the command finds as $node. Needs root.
# Usage: scripts/conformance/alone.sh COMMAND...
set -euo pipefail
cd "$(dirname "$0")/../.."
mkdir -p .state/conformance
node=$(mktemp -d "$PWD/.state/conformance/node.XXXX")
export node
name=conformance-$$
hierarchies=()
while IFS=: read -r _ controllers _; do
  dir=/sys/fs/cgroup/${controllers#name=}
  # version 2: beside version 1, or alone
  if [ -z "$controllers" ] && [ -d /sys/fs/cgroup/unified ]; then dir=/sys/fs/cgroup/unified; fi
  if [ -e "$dir/cgroup.procs" ]; then hierarchies+=("$dir/$name"); fi
done </proc/self/cgroup
# With version 2 alone, only a cgroup without processes passes its controllers on: they are below it.
[ "$(stat -f -c %T /sys/fs/cgroup)" != cgroup2fs ] || first=${hierarchies[0]}/init

child=
# shellcheck disable=SC2317 # called by the trap
end() {
  if [ -n "$child" ]; then
    # unshare ignores SIGTERM; process 1 of its namespace is killed with it, and with that all others
    kill -KILL "$child" 2>/dev/null || true
    wait "$child" 2>/dev/null || true
  fi
  for dir in "${hierarchies[@]}"; do
    # a process that was killed leaves its cgroup a little later
    for _ in {1..50}; do
      if ! [ -d "$dir" ] || find "$dir" -depth -type d -exec rmdir {} + 2>/dev/null; then break; fi
      sleep 0.1
    done
  done
  rm -rf "$node"
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

for dir in "${hierarchies[@]}"; do
  mkdir "$dir"
  # without these, a cgroup of version 1 takes no process
  for file in cpuset.cpus cpuset.mems; do
    if [ -e "$dir/tasks" ] && [ -e "$dir/$file" ]; then cat "$dir/../$file" >"$dir/$file"; fi
  done
done
[ -z "${first:-}" ] || mkdir "$first"
(
  for dir in "${hierarchies[@]}"; do echo "$BASHPID" >"$dir/cgroup.procs"; done
  # shellcheck disable=SC2016 # the inner shell's own variables
  exec setpriv --pdeathsig KILL unshare --cgroup bash -c '
    if [ -n "$0" ]; then echo "$$" >"$0/cgroup.procs"; fi
    exec unshare --mount --propagation private --net --ipc --pid --fork --kill-child --mount-proc "$@"' "${first:-}" "$@"
) &
child=$!
code=0
wait "$child" || code=$?
child=
exit "$code"
