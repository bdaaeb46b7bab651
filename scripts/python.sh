#!/usr/bin/env bash
# Builds the guest in Python, as its developers do, into components/ of the target directory, where tests look for it.
# WASM_TARGET_DIR: that directory (tests/components/target).
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/apt.sh
guest=tests/components/hello-python out=${WASM_TARGET_DIR:-$PWD/tests/components/target}
venv=$out/python wasm=$out/components/hello-python.wasm

current=$(cat "$0" "$guest"/*.py "$guest/requirements.txt" | sha256sum)
if [ -f "$wasm" ] && [ "$(cat "$venv/stamp" 2>/dev/null)" = "$current" ]; then exit 0; fi
python3 -c 'import ensurepip' 2>/dev/null || apt_install python3-venv
rm -rf "$venv"
python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check -r "$guest/requirements.txt"
mkdir -p "$out/components"
# It finds the SDK by the environment it is in.
PATH=$venv/bin:$PATH VIRTUAL_ENV=$venv componentize-py --world spin-http componentize --python-path "$guest" app --output "$wasm"
echo "$current" >"$venv/stamp"
