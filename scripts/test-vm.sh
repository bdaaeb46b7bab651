#!/usr/bin/env bash
# Runs tests on a node as users have it, in a virtual machine (scripts/vm/run.sh). Without arguments
# those of pods over CRI with both cgroup drivers, and those of pods with their own users with
# systemd's. With `all` also with the pods of runc, to see that the tests ask for what is right, and
# every other test of the shim; where processors are emulated that takes long. Needs what
# scripts/test-suites.sh builds, and the variables that it sets.
# Usage: scripts/test-vm.sh [all | TEST:DRIVER:HANDLER...], for example systemd_node:systemd:spin
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/vm/env.sh
mkdir -p "$VM_DIR"
job=$(mktemp -d "$VM_DIR/job.XXXX")
trap 'rm -rf "$job"' EXIT

suites=("$@") limit=1200
case "${1:-}" in
  '') suites=(systemd_node:{cgroupfs,systemd}:spin users:systemd:spin) ;;
  all)
    suites=(systemd_node:{cgroupfs,systemd}:{spin,runc} users:systemd:spin) limit=5400
    for file in tests/containerd/tests/*.rs; do
      test=$(basename "$file" .rs)
      [ "$test" = cri ] || suites+=("$test:cgroupfs:spin")
    done
    ;;
esac
printf '%s\n' "${suites[@]}" | tr : ' ' >"$job/suites"
mapfile -t tests < <(printf -- '--test=%s\n' "${suites[@]%%:*}" | sort -u)

echo "test programs"
mkdir "$job/tests"
cargo test --locked --workspace "${tests[@]}" --no-run --message-format=json-render-diagnostics |
  sed -n 's/.*"kind":\["\(test\|bin\)"\].*"name":"\([^"]*\)".*"executable":"\([^"]*\)".*/\1 \2 \3/p' |
  while read -r kind name program; do
    # Tests look for the program that they put into containers one directory above their own.
    if [ "$kind" = test ]; then cp "$program" "$job/tests/$name"; elif [ "$name" = inside ]; then cp "$program" "$job/"; fi
  done

mkdir -p "$job/state/base/pods" "$job/shim" "$job/components" "$job/guests" "$job/apps"
cp "$SPIN_SHIM_DIR/containerd-shim-spin-v2" "$SPIN_OCI" "$job/shim/"
cp "$SPIN_TEST_COMPONENTS"/*.wasm "$job/components/"
cp -a "$CONTAINERD_V2_BIN" "$job/state/bin"
cp -a "$CONTAINERD_V2_BIN/../base/bin" "$job/state/base/bin"
cp "$CONTAINERD_V2_BIN/../base/pods/pause" "$job/state/base/pods/"
cp -a "$CONTAINERD_1_7_BIN" "$job/containerd-1.7"
for app in restaurant kitchen; do cp -a "apps/$app" "$job/apps/"; done
for guest in tests/components/first-*; do cp -a "$guest" "$job/guests/"; done
pwd >"$job/repository"
cp scripts/vm/suites.sh "$job/run"
echo "the virtual machine"
scripts/vm/run.sh "$job" "$limit"
