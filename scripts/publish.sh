#!/usr/bin/env bash
# Pushes both apps to a registry, each as a Spin artifact and as a plain image: publish.sh HOST[:PORT]/PREFIX
# An app's tag is the version in its spin.toml, the plain image's the same and "-plain"; TAG sets another.
# SPIN_OCI_FLAGS: further flags of "spin-oci push", --plain-http for instance. Prints each image's name and digest.
set -euo pipefail

registry=${1:-}
if [[ $registry != */* ]]; then
  echo "usage: make publish REGISTRY=HOST[:PORT]/PREFIX, for instance REGISTRY=registry.example.com/me" >&2
  exit 2
fi
cd "$(dirname "$0")/.."
read -ra flags <<<"${SPIN_OCI_FLAGS:-}"

# The first `version = "…"`, which is the app's: the manifest's own version has another name.
version() { sed -n 's/^version *= *"\(.*\)".*/\1/p' "$1/spin.toml" | head -n 1; }

scripts/shim.sh quick >&2
scripts/wasm.sh apps >&2
for app in restaurant kitchen; do
  reference=${registry%/}/$app:${TAG:-$(version "apps/$app")}
  digest=$(.state/shim/spin-oci push "apps/$app" "$reference" ${flags[@]+"${flags[@]}"})
  echo "$reference@$digest"
  digest=$(.state/shim/spin-oci push "apps/$app" "$reference-plain" --plain ${flags[@]+"${flags[@]}"})
  echo "$reference-plain@$digest"
done
