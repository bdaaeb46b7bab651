#!/usr/bin/env bash
# Installs what it takes to build wasm components: install-wasm.sh [TARGET]
# With rustup that is the target's standard library. Where rustup can't download it, Debian's packages bring a
# second compiler and the source of its standard library; the linkers still come from the toolchain at hand.
set -euo pipefail

target=${1:-wasm32-wasip2}
debian=(rustc-web cargo-web rust-web-src wasi-libc)

say() { printf 'wasm toolchain: %s\n' "$*" >&2; }

if [ -n "$(find "$(rustc --print target-libdir --target "$target")" -name 'libstd-*' -print -quit 2>/dev/null)" ]; then
    say "$(rustc --version) has $target"
    exit 0
fi

if command -v rustup >/dev/null; then
    say "rustup target add $target"
    if rustup target add "$target" >&2; then
        exit 0
    fi
    say "rustup could not install it, trying Debian's packages"
fi

if ! command -v apt-get >/dev/null; then
    say "no $target here: install rustup (https://rustup.rs), then run: rustup target add $target"
    exit 1
fi
if dpkg -s "${debian[@]}" >/dev/null 2>&1; then
    say "Debian's $(/usr/bin/rustc --version) is installed"
    exit 0
fi
as_root=()
if [ "$(id -u)" != 0 ]; then
    as_root=(sudo)
fi
say "apt-get install ${debian[*]}"
"${as_root[@]}" apt-get update -q >&2
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${debian[@]}" >&2
