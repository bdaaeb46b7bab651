#!/usr/bin/env bash
# The compiler of scripts/fuzz.sh (cargo's RUSTC_WORKSPACE_WRAPPER), for the crates of this repository: notes which code runs and what
# is compared, as libFuzzer reads it, and links libFuzzer, whose path is in LIBFUZZER. Usage: scripts/fuzz-rustc.sh RUSTC ARGUMENT...
set -euo pipefail
flags=()
# What runs while building, build scripts, is compiled without --target.
if [[ " $* " == *" --target "* ]]; then
  flags+=(-Cpasses=sancov-module)
  for option in level=4 inline-8bit-counters pc-table trace-compares; do
    flags+=("-Cllvm-args=-sanitizer-coverage-$option")
  done
fi
if [[ " $* " == *" --crate-name libfuzzer "* ]]; then
  # Both of C++ and of LLVM are static, as the program is.
  flags+=("-Clink-arg=$LIBFUZZER" -Clink-arg=-l:libstdc++.a)
fi
exec "$@" "${flags[@]}"
