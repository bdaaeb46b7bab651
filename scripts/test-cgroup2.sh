#!/usr/bin/env bash
# Runs a command where version 2 is the only cgroup that is mounted, in a mount namespace that ends with it: most users' nodes have no other, and a
# machine with version 1 can show it so. The controllers that version 1 holds are then missing; everything else is real. Needs root.
# Usage: scripts/test-cgroup2.sh COMMAND...
set -euo pipefail
if [ "$(stat -f -c %T /sys/fs/cgroup)" = cgroup2fs ]; then exec "$@"; fi
# shellcheck disable=SC2016 # the inner shell's own variables
exec unshare --mount --propagation private bash -c '
  set -euo pipefail
  awk "\$2 ~ \"^/sys/fs/cgroup\" {print \$2}" /proc/self/mounts | sort -r | while read -r mount; do umount --lazy "$mount"; done
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
  exec "$@"' bash "$@"
