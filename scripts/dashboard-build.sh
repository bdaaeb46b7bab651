#!/usr/bin/env bash
# Builds the dashboard's page from dashboard/ into .state/dashboard/www, unless it is there and current.
# Usage: scripts/dashboard-build.sh
set -euo pipefail
cd "$(dirname "$0")/.."
out=.state/dashboard
scripts/install.sh dashboard
mkdir -p "$out"

hash_of() { # FILE...
  cat "$@" | sha256sum | cut -d ' ' -f 1
}
packages=$(hash_of dashboard/package-lock.json)
if [ "$(cat dashboard/node_modules/.stamp 2>/dev/null)" != "$packages" ]; then
  npm --prefix dashboard ci --include=dev --no-audit --no-fund
  echo "$packages" >dashboard/node_modules/.stamp
fi

mapfile -t sources < <(find dashboard/src dashboard/public -type f | sort)
page=$(hash_of "$0" dashboard/{index.html,package-lock.json,tsconfig.json,vite.config.ts} "${sources[@]}")
if [ "$(cat "$out/stamp" 2>/dev/null)" = "$page" ] && [ -e "$out/www/index.html" ]; then exit 0; fi
rm -f "$out/stamp"
# Tests set another one, with which the libraries' checks for developers would be part of the page.
NODE_ENV=production npm --prefix dashboard run build
echo "$page" >"$out/stamp"
