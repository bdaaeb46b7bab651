#!/usr/bin/env bash
# Builds the Rust programs and leaves them in dist/: containerd-shim-spin-v2, and spin-oci, which packs and pushes images.
# Cargo decides what has to be built again. What is shipped is optimised as one program, some four minutes at the end are for that, and by what it was
# seen to do (scripts/profile.sh).
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/install.sh build
machine=$(uname -m)
export LIBSECCOMP_LIB_PATH=/usr/lib/$machine-linux-gnu
mkdir -p dist "${CARGO_TARGET_DIR:-target}"
flags=()
kept=shim/profile-$(rustc -V | cut -d' ' -f2).profdata.xz
if [ -e "$kept" ]; then
  # Named by what is in it, because cargo sees the name alone.
  profile=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)/$(sha256sum <"$kept" | cut -c1-16).profdata
  if [ ! -e "$profile" ]; then
    xz --decompress --stdout "$kept" >"$profile.new"
    mv "$profile.new" "$profile"
  fi
  flags=(--config "target.$machine-unknown-linux-gnu.rustflags=[\"-Cprofile-use=$profile\"]")
else
  echo "there is no profile of this compiler ($kept): built without one, which is a tenth slower"
fi
cargo build --profile dist --locked -p containerd-shim-spin -p spin-oci --target "$machine-unknown-linux-gnu" "${flags[@]}"
for program in containerd-shim-spin-v2 spin-oci; do
  built=${CARGO_TARGET_DIR:-target}/$machine-unknown-linux-gnu/dist/$program
  if [ "$built" -nt "dist/$program" ]; then
    # Under another name first: it may be running. Written in large pieces, as which the kernel keeps it (docs/operations.md).
    strip --strip-all -o "$built.stripped" "$built"
    dd if="$built.stripped" of="dist/$program.new" bs=2M status=none
    chmod 755 "dist/$program.new"
    mv "dist/$program.new" "dist/$program"
    rm "$built.stripped"
  fi
  ls -l "dist/$program"
done
