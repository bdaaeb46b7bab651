#!/usr/bin/env bash
# Makes shim/profile-RUSTC.profdata.xz anew, by which scripts/shim.sh has the shim optimised: builds an instrumented shim, gives it work (tests/bench, `train`)
# and keeps what it counted. An hour on two cores; needs root, as containerd does, and LLVM's llvm-profdata, of the compiler's version or newer.
# Worth it after a change of the compiler, of wasmtime, or of what a request or a start passes through. Usage: scripts/profile.sh
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/cluster-env.sh
machine=$(uname -m)
target=$machine-unknown-linux-gnu
dir=$PWD/target/profile
llvm=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
profdata=$(rustc --print sysroot)/lib/rustlib/$target/bin/llvm-profdata
[ -x "$profdata" ] || profdata=$(command -v "llvm-profdata-$llvm") ||
  { echo "missing: llvm-profdata; \`rustup component add llvm-tools\`, or Debian's package llvm-$llvm" >&2; exit 1; }

step profile-install "looking for what it needs" scripts/install.sh test
step profile-components "the test guests" scripts/wasm.sh tests/components
step profile-python "the guest in Python" scripts/python.sh
step profile-base "containerd, from its Go modules" scripts/local-base.sh
step profile-train "the work" cargo build --release --locked --workspace --bin train --target "$target"
train=${CARGO_TARGET_DIR:-target}/$target/release/train
export LIBSECCOMP_LIB_PATH=/usr/lib/$machine-linux-gnu
# What nobody calls must go from this one too: a name of the C library's is not there for static programs.
CARGO_TARGET_DIR=$dir/build step profile-shim "an instrumented shim" \
  cargo build --profile dist --locked -p containerd-shim-spin -p spin-oci --target "$target" \
  --config "target.$target.rustflags=[\"-Cprofile-generate=$dir/raw\", \"-Clink-arg=-Wl,--gc-sections\"]"
rm -rf "$dir/raw"
mkdir -p "$dir/raw"
export SPIN_TEST_COMPONENTS=${WASM_TARGET_DIR:-$PWD/tests/components/target}/components CONTAINERD_V2_BIN=$PWD/.state/bin
export SPIN_SHIM_DIR=$dir/build/$target/dist SPIN_OCI=$dir/build/$target/dist/spin-oci
step profile-work "its work" "$train" "$dir/raw"
"$profdata" merge --output "$dir/shim.profdata" "$dir/raw"/*.profraw
rm -f shim/profile-*.profdata.xz
kept=shim/profile-$(rustc -V | cut -d' ' -f2).profdata.xz
xz -9 --keep --stdout "$dir/shim.profdata" >"$kept"
ls -l "$kept"
