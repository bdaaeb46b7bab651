#!/usr/bin/env bash
# Formatting, lints, licences, shell. Usage: scripts/check.sh
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install.sh check
shellcheck scripts/*.sh scripts/conformance/*.sh scripts/vm/*.sh scripts/vm/guest/usr/local/sbin/* .ci/run
cargo fmt --all --check
cargo clippy --workspace --all-targets -- -D warnings
(cd apps && cargo fmt --all --check && cargo clippy --all-targets --target "$(rustc -vV | sed -n 's/^host: //p')" -- -D warnings)
(cd tests/components && cargo fmt --all --check)
(cd node-image/local && test -z "$(gofmt -l .)" && ../../scripts/local-go.sh vet ./internal/...)
scripts/dashboard-build.sh && npm --prefix dashboard run check
(cd tests/conformance && test -z "$(gofmt -l .)" && CGO_ENABLED=0 go vet ./images ./compare ./nmeter ./oci-cli ./runtimeconfig)
command -v cargo-deny >/dev/null || cargo install --locked cargo-deny
# The tests that the threat model names exist.
# shellcheck disable=SC2016 # backquotes of Markdown
sed -n '/^## The walls/,/^## Out of scope/p' docs/security.md | grep -oE '`[a-z0-9]+(_[a-z0-9]+){2,}`' | tr -d '`' | while read -r test; do
  git grep -q "fn $test\b\|^    $test: " -- '*.rs' || { echo "docs/security.md: there is no test $test" >&2; exit 1; }
done
# The advisory database is fetched from the network; where that can't be, the other three still hold.
cargo deny check licenses bans sources
cargo deny check advisories || [ "${ADVISORIES:-}" = skip ]
