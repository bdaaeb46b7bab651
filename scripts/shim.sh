#!/usr/bin/env bash
# Builds the Rust programs: containerd-shim-spin-v2, and spin-oci, which packs and pushes images. Cargo decides what has to be built again.
# release: what is shipped, into dist/: optimised as one program and by what it was seen to do (scripts/profile.sh). Half an hour on two cores.
# quick: for `make up` and the tests, into .state/shim/, from the same build of the dependencies as the tests.
# Usage: scripts/shim.sh [release|quick] [DIRECTORY]
set -euo pipefail
cd "$(dirname "$0")/.."
kind=${1:-release}
machine=$(uname -m)
target=$machine-unknown-linux-gnu
build=${CARGO_TARGET_DIR:-target}/$target
flags=(--locked --target "$target")
case $kind in
  quick)
    out=.state/shim build+=/debug
    # with the whole workspace's features, which the tests have
    flags+=(--workspace --bin containerd-shim-spin-v2 --bin spin-oci)
    ;;
  release)
    out=dist build+=/dist
    flags+=(--profile dist -p containerd-shim-spin -p spin-oci)
    ;;
  *) echo "usage: $0 [release|quick] [DIRECTORY]" >&2; exit 2 ;;
esac
out=${2:-$out}

scripts/install.sh build
export LIBSECCOMP_LIB_PATH=/usr/lib/$machine-linux-gnu
mkdir -p "$out" "${CARGO_TARGET_DIR:-target}"
kept=shim/profile-$(rustc -V | cut -d' ' -f2).profdata.xz
if [ "$kind" = release ] && [ -e "$kept" ]; then
  # Named by what is in it, because cargo sees the name alone.
  profile=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)/$(sha256sum <"$kept" | cut -c1-16).profdata
  if [ ! -e "$profile" ]; then
    xz --decompress --stdout "$kept" >"$profile.new"
    mv "$profile.new" "$profile"
  fi
  flags+=(--config "target.$target.rustflags=[\"-Cprofile-use=$profile\"]")
elif [ "$kind" = release ]; then
  echo "there is no profile of this compiler ($kept): built without one, which is a tenth slower"
fi
cargo build "${flags[@]}"
for program in containerd-shim-spin-v2 spin-oci; do
  if [ "$build/$program" -nt "$out/$program" ]; then
    # Under another name first: it may be running. Written in large pieces, as which the kernel keeps it (docs/operations.md).
    strip --strip-all -o "$build/$program.stripped" "$build/$program"
    dd if="$build/$program.stripped" of="$out/$program.new" bs=2M status=none
    chmod 755 "$out/$program.new"
    mv "$out/$program.new" "$out/$program"
    rm "$build/$program.stripped"
  fi
  ls -l "$out/$program"
done
