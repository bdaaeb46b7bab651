#!/usr/bin/env bash
# Builds spin-oci, which packs and pushes images, and leaves it in dist/spin-oci. Cargo decides what has to be built again.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/install.sh build
target=$(uname -m)-unknown-linux-gnu
cargo build --release --locked --target "$target" -p spin-oci
built=${CARGO_TARGET_DIR:-target}/$target/release/spin-oci
if [ "$built" -nt dist/spin-oci ]; then
  mkdir -p dist
  # Under another name first: it may be running.
  strip --strip-all -o dist/spin-oci.new "$built"
  mv dist/spin-oci.new dist/spin-oci
fi
ls -l dist/spin-oci
