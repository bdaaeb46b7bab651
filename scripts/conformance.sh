#!/usr/bin/env bash
# The suites of others, each with runc and with the shim at the same time (docs/conformance.md).
# Fails where a test passes with runc and not with the shim, unless
# tests/conformance/exceptions.tsv has it. Needs root. Results are in .state/conformance/results.
# Usage: scripts/conformance.sh [critest|client|cri|critest_1_6|critest_1_7|runtime-tools|node]...
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/cluster-env.sh
. scripts/cluster-env.sh
suites=("$@")
[ $# -gt 0 ] || suites=(critest client cri critest_1_6 critest_1_7 runtime-tools node)
[ "$(id -u)" = 0 ] || { echo "root is needed, as for containerd" >&2; exit 1; }
out=$PWD/.state/conformance
results=$out/results
mkdir -p "$results"

step conformance-install "looking for what the suites need" scripts/install.sh conformance
step conformance-base "containerd, from its Go modules" scripts/local-base.sh
step conformance-containerd-1.7 "containerd 1.7, from its Go module" scripts/containerd-1.7.sh
step conformance-shim "the shim" scripts/shim.sh quick
step conformance-build "the suites, from their Go modules" scripts/conformance/build.sh "${suites[@]}"

nodes=()
# shellcheck disable=SC2317 # called by the trap
end() {
  for node in "${nodes[@]}"; do
    kill "$node" 2>/dev/null || true
    wait "$node" || true
  done
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

code=0
for suite in "${suites[@]}"; do
  printf '[%4d s] %s\n' "$SECONDS" "$suite"
  rm -f "$results/$suite-"*
  nodes=()
  for runtime in runc spin; do
    # A suite fails where one of its tests does: compare tells what that means.
    scripts/conformance/alone.sh scripts/conformance/node.sh "$suite" "$runtime" "$results/$suite-$runtime" \
      >"$results/$suite-$runtime.out" 2>&1 &
    nodes+=($!)
  done
  wait
  nodes=()
  "$out/bin/compare" "$suite" tests/conformance/exceptions.tsv "$results/$suite-"{runc,spin}.results || {
    code=1
    tail -n 5 "$results/$suite-"{runc,spin}.out | sed 's/^/  | /'
  }
done
exit $code
