#!/usr/bin/env bash
# Builds both apps and packs each as a plain image into dist/images/APP.tar, under the name its deploy.yaml asks for. Usage: scripts/apps-images.sh
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/wasm.sh apps
scripts/shim.sh quick
mkdir -p dist/images
for app in restaurant kitchen; do
  name=$(sed -n 's/^ *image: *//p' "apps/$app/deploy.yaml")
  .state/shim/spin-oci pack "apps/$app" --plain --name "$name" --out "dist/images/$app.tar"
done
