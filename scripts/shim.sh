#!/usr/bin/env bash
# Builds the Rust programs and leaves them in dist/: containerd-shim-spin-v2, and spin-oci, which packs and pushes images.
# Cargo decides what has to be built again. What is shipped is optimised as one program: some four minutes at the end are for that.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/install.sh build
machine=$(uname -m)
export LIBSECCOMP_LIB_PATH=/usr/lib/$machine-linux-gnu
cargo build --profile dist --locked -p containerd-shim-spin -p spin-oci --target "$machine-unknown-linux-gnu"
mkdir -p dist
for program in containerd-shim-spin-v2 spin-oci; do
  built=${CARGO_TARGET_DIR:-target}/$machine-unknown-linux-gnu/dist/$program
  if [ "$built" -nt "dist/$program" ]; then
    # Under another name first: it may be running.
    strip --strip-all -o "dist/$program.new" "$built"
    mv "dist/$program.new" "dist/$program"
  fi
  ls -l "dist/$program"
done
