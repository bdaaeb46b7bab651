#!/usr/bin/env bash
# Every test, and one line that counts them all. Usage: scripts/test.sh [unit|containerd|vm|cluster]...
# `vm` is the long form of what `containerd` runs in a virtual machine, and only runs where it is named.
# A suite that can't be built or run counts as a failed test; logs are under .state/logs.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
suites=("${@:-unit}")
[ $# -gt 0 ] || suites=(unit containerd cluster)
for suite in "${suites[@]}"; do
  case $suite in
    unit | containerd | vm | cluster) ;;
    *) echo "$suite is no suite. Usage: scripts/test.sh [unit|containerd|vm|cluster]..." >&2; exit 2 ;;
  esac
done
passed=0 failed=0 began=$SECONDS
# the longest, `unit`, takes half of it where nothing is built
SUITE_TIMEOUT=50m
mkdir -p .state/logs
export CARGO_TERM_COLOR=never

say() { printf '[%4d s] %s\n' $((SECONDS - began)) "$*"; }

# run NAME COMMAND...: one suite; adds up what its runner counted, because what tests print may stand within the lines of the single ones.
run() {
  local name=$1 log=.state/logs/test-$1.log ok bad; shift
  say "$name"
  # timeout makes a process group, which Ctrl-C here doesn't reach. Without job control, bash starts it with SIGINT ignored, and so the tests.
  set -m
  timeout --kill-after=30s "$SUITE_TIMEOUT" "$@" >"$log" 2>&1 </dev/null &
  suite=$!
  set +m
  trap 'kill "$suite" 2>/dev/null; exit 130' INT TERM
  wait "$suite"; local code=$?
  trap - INT TERM
  if [ $code -eq 124 ]; then echo "$name: ended after $SUITE_TIMEOUT"; fi
  grep -E '^test .*(FAILED|failed)$|^--- FAIL|panicked at' "$log" || true
  read -r ok bad < <(awk '/^test result: /{ok += $4; bad += $6} /^ *--- PASS/{ok++} /^ *--- FAIL/{bad++} END{print ok + 0, bad + 0}' "$log")
  if [ $code -ne 0 ]; then tail -n 80 "$log"; [ "$bad" -gt 0 ] || bad=1; fi
  if [ $code -eq 0 ] && [ "$ok" -eq 0 ]; then echo "$name: no test ran"; bad=1; fi
  say "$name: $ok passed, $bad failed"
  passed=$((passed + ok)) failed=$((failed + bad))
}

# need NAME COMMAND...: something the suites need; a failure ends the run as one failed test.
need() {
  local name=$1 log=.state/logs/test-$1.log; shift
  say "$name"
  "$@" >"$log" 2>&1 && return
  tail -n 60 "$log"
  echo "$passed passed, $((failed + 1)) failed"
  exit 1
}

# shellcheck source=scripts/test-suites.sh
. scripts/test-suites.sh
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
