#!/usr/bin/env bash
# Measures the shim beside `wasmtime serve`, a native server and runc, in one run; results.json, table.md and plots are then in target/bench.
# Builds what it needs: the first time that takes some forty minutes on two cores, most of it compilers' time. Needs root, as containerd does.
# Usage: scripts/bench.sh [--quick] [start|memory|throughput|redis|idle|size|growth|cluster]...
# Without names: all of them, `cluster` only where one is up (`make up`).
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/cluster-env.sh
out=$PWD/target/bench
machine=$(uname -m)
# the same engine as ours
version=$(awk '$0 == "name = \"wasmtime\"" {getline; gsub("\"", ""); print $3}' Cargo.lock)
wasmtime=$out/tools/bin/wasmtime

arguments=(--out "$out")
names=()
for argument in "$@"; do
  case $argument in
    -*) arguments+=("$argument") ;;
    *) names+=("$argument") ;;
  esac
done
step bench-install "looking for what the bench needs" scripts/install.sh test
step bench-components "the test guests" scripts/wasm.sh tests/components
step bench-python "the guest in Python" scripts/python.sh
step bench-shim "the shim" scripts/shim.sh
step bench-bench "the bench" cargo build --release --locked --workspace --bin bench --bin hello-native --target "$machine-unknown-linux-gnu"
step bench-base "containerd, from its Go modules" scripts/local-base.sh
if [ ${#names[@]} -eq 0 ] || [[ " ${names[*]} " =~ \ (start|throughput)\  ]]; then
  if [ "$("$wasmtime" --version 2>/dev/null)" != "wasmtime $version" ]; then
    # as its makers ship it to those who build it: cargo's release profile; with the compiler flags of ours (.cargo/config.toml)
    step bench-wasmtime "wasmtime $version, to compare with" cargo install --locked "wasmtime-cli@$version" --root "$out/tools" \
      --no-default-features \
      --features run,serve,compile,cranelift,parallel-compilation,pooling-allocator,component-model,component-model-async
  fi
  arguments+=(--wasmtime "$wasmtime")
fi

export SPIN_TEST_COMPONENTS=${WASM_TARGET_DIR:-$PWD/tests/components/target}/components SPIN_SHIM_DIR=$PWD/dist SPIN_OCI=$PWD/dist/spin-oci
export CONTAINERD_V2_BIN=$PWD/.state/bin
# In a session of its own: what it started has to go on until it has ended that, also after Ctrl-C.
setsid "${CARGO_TARGET_DIR:-target}/$machine-unknown-linux-gnu/release/bench" "${arguments[@]}" "${names[@]}" &
bench=$!
trap 'kill -TERM "$bench"' INT TERM
code=0
wait "$bench" || code=$?
# a signal ends the waiting, but not yet the bench
while kill -0 "$bench" 2>/dev/null; do
  code=0
  wait "$bench" || code=$?
done
exit "$code"
