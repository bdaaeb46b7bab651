#!/usr/bin/env bash
# Runs fuzz targets (tests/fuzz) with libFuzzer, one after another: with the kept inputs, then with new ones. Inputs that reach new code are
# kept in tests/fuzz/corpus; inputs that break a target, in .state/fuzz/TARGET/failures. Prints a table of what ran.
# Usage: scripts/fuzz.sh [SECONDS [TARGET...]]
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-60}
targets=("${@:2}")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(ls tests/fuzz/corpus)
scripts/install.sh fuzz
machine=$(uname -m)
: "${LIBFUZZER:=$(find /usr/lib/llvm-*/lib/clang -name "libclang_rt.fuzzer-$machine.a" | sort -V | tail -n 1)}"
export LIBFUZZER RUSTC_WORKSPACE_WRAPPER=$PWD/scripts/fuzz-rustc.sh LIBSECCOMP_LIB_PATH=/usr/lib/$machine-linux-gnu
target=$machine-unknown-linux-gnu
# With the whole workspace's features, which the tests have: the dependencies are built already.
cargo build --locked --workspace --target "$target" --bin libfuzzer --features fuzz/libfuzzer
program=${CARGO_TARGET_DIR:-target}/$target/debug/libfuzzer
common=(-max_len=4096 -timeout=5 -rss_limit_mb=1024)
mkdir -p .state/logs
broken=0
echo "| target | day | seconds | executions | kept inputs | found |"
echo "|---|---|--:|--:|--:|---|"
for name in "${targets[@]}"; do
  corpus=tests/fuzz/corpus/$name new=.state/fuzz/$name/new failures=.state/fuzz/$name/failures log=.state/logs/fuzz-$name.log
  mkdir -p "$new" "$failures"
  found=nothing
  if ! FUZZ_TARGET=$name "$program" "${common[@]}" "-max_total_time=$time" -print_final_stats=1 "-artifact_prefix=$failures/" \
    "-dict=tests/fuzz/dictionaries/$name.dict" "$new" "$corpus" >"$log" 2>&1; then
    found="an input, see $log"
    broken=1
  fi
  # Copies to the first directory the fewest inputs that reach all code which nothing in it reaches.
  FUZZ_TARGET=$name "$program" "${common[@]}" -use_counters=0 -set_cover_merge=1 "$corpus" "$new" >>"$log" 2>&1
  # The shortest of them are kept.
  find "$corpus" -type f -printf '%s %p\n' | grep -E '/[0-9a-f]{40}$' | sort -n | cut -d' ' -f2 >"$log.new" || true
  tail -n +41 "$log.new" | xargs -r rm
  head -n 40 "$log.new" | while read -r input; do
    hash=$(basename "$input")
    mv "$input" "$corpus/found-${hash:0:10}"
  done
  runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | head -n 1)
  kept=$(find "$corpus" -type f | wc -l)
  echo "| $name | $(date -I) | $time | ${runs:-0} | $kept | $found |"
done
exit "$broken"
