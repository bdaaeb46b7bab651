#!/usr/bin/env bash
# Builds the components of a cargo workspace: wasm.sh DIR
# Each member's component ends up beside its spin.toml, as DIR/MEMBER/MEMBER.wasm, where the manifest looks for it,
# and together with the others as components/MEMBER.wasm in the target directory, where tests look for it.
# WASM_TARGET_DIR: where cargo builds (DIR/target). WASM_TOOLCHAIN: "rustup" or "debian" instead of what is found.
set -euo pipefail

dir=$(cd "${1:?usage: wasm.sh DIR}" && pwd)
scripts=$(cd "$(dirname "$0")" && pwd)
out=${WASM_TARGET_DIR:-$dir/target}
toolchain=${WASM_TOOLCHAIN:-}

has_std() { find "$(rustc --print target-libdir --target "$1")" -name 'libstd-*' -print -quit 2>/dev/null | grep -q .; }

# Debian's compiler has no standard library for wasm, so cargo builds it from source; -Z needs the bootstrap
# switch on a stable compiler. Its linkers are those of the toolchain at hand.
with_debian() {
    local bin
    bin=$(rustc --print sysroot)/lib/rustlib/$(rustc --print host-tuple)/bin
    PATH=$bin:$PATH RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 \
        RUSTFLAGS="-L native=/usr/lib/wasm32-wasi -C link-self-contained=no" \
        /usr/bin/cargo "$@" -Zbuild-std=std,panic_abort
}

build() { # TARGET MEMBER...
    local target=$1 chosen=$toolchain run=with_debian members=()
    shift
    for member in "$@"; do members+=(--package "$member"); done
    if [ -z "$chosen" ]; then
        has_std "$target" || "$scripts/install-wasm.sh" "$target"
        if has_std "$target"; then chosen=rustup; else chosen=debian; fi
    fi
    if [ "$chosen" = rustup ]; then run=cargo; fi
    printf 'building %s for %s (%s)\n' "$*" "$target" "$chosen" >&2
    (cd "$dir" && CARGO_TARGET_DIR=$out "$run" build --release --locked --target "$target" "${members[@]}")
    mkdir -p "$out/components"
    for member in "$@"; do
        local wasm=$out/$target/release/${member//-/_}.wasm copy
        for copy in "$dir/$member/$member.wasm" "$out/components/$member.wasm"; do
            cmp -s "$wasm" "$copy" || install -m 644 "$wasm" "$copy"
        done
    done
}

p1=() p2=()
for manifest in "$dir"/*/Cargo.toml; do
    member=$(basename "$(dirname "$manifest")")
    # A member says so itself where it is meant to be a core module: [package.metadata.wasm] target = "wasm32-wasip1"
    if grep -qx 'target = "wasm32-wasip1"' "$manifest"; then p1+=("$member"); else p2+=("$member"); fi
done
if [ ${#p2[@]} -gt 0 ]; then build wasm32-wasip2 "${p2[@]}"; fi
if [ ${#p1[@]} -gt 0 ]; then build wasm32-wasip1 "${p1[@]}"; fi
