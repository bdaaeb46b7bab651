#!/usr/bin/env bash
# Runs in the virtual machine, as /job/run: test programs from /job/tests. Each line of /job/suites names one, the cgroup driver and
# the runtime handler of its pods. Fails where a test fails. scripts/test-vm.sh makes the directory.
set -euo pipefail
cd /job
export HOME=/root SPIN_TEST_COMPONENTS=$PWD/components SPIN_SHIM_DIR=$PWD/shim SPIN_OCI=$PWD/shim/spin-oci
export CONTAINERD_V2_BIN=$PWD/state/bin CONTAINERD_1_7_BIN=$PWD/containerd-1.7
# Emulated processors are slow, and time limits are for ordinary ones.
export SPIN_TEST_PATIENCE=5
# Tests were compiled with the paths of sources that they read.
mkdir -p "$(cat repository)/tests/containerd"
ln -s "$PWD/apps" "$(cat repository)/apps"
ln -s "$PWD/guests" "$(cat repository)/tests/components"

failed=0
while read -r test driver handler; do
  arguments=(--test-threads=2)
  if [ "$handler" = runc ]; then arguments+=(--skip spin_app); fi
  # Debian's runc loses the count of kills when systemd removes the scope before its shim has read it.
  if [ "$handler $driver" = "runc systemd" ]; then arguments+=(--skip reported_as_killed_for_want_of_memory); fi
  began=$SECONDS
  echo "$test, cgroup driver $driver, handler $handler:"
  SPIN_TEST_CGROUP_DRIVER=$driver SPIN_TEST_HANDLER=$handler "tests/$test" "${arguments[@]}" || failed=1
  echo "$test, cgroup driver $driver, handler $handler: $((SECONDS - began)) s"
done <suites
exit $failed
