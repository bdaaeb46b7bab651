#!/usr/bin/env bash
# Installs what building and testing need and this machine lacks. Debian and root: by apt; elsewhere it says what is missing.
# Usage: scripts/install.sh build|test|check|conformance|fuzz|dashboard
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/apt.sh
build=(libseccomp-dev:/usr/include/seccomp.h pkg-config:/usr/bin/pkg-config protobuf-compiler:/usr/bin/protoc gcc:/usr/bin/gcc xz-utils:/usr/bin/xz)
test=(containerd:/usr/bin/containerd runc:/usr/sbin/runc redis-server:/usr/bin/redis-server redis-tools:/usr/bin/redis-cli openssl:/usr/bin/openssl
  docker-registry:/usr/bin/docker-registry curl:/usr/bin/curl wrk:/usr/bin/wrk
  chromium:/usr/bin/chromium busybox-static:/usr/share/doc/busybox-static/copyright mmdebstrap:/usr/bin/mmdebstrap e2fsprogs:/sbin/mke2fs)
case $(uname -m) in
  x86_64) test+=(qemu-system-x86:/usr/bin/qemu-system-x86_64) ;;
  aarch64) test+=(qemu-system-arm:/usr/bin/qemu-system-aarch64) ;;
esac
check=(shellcheck:/usr/bin/shellcheck)
conformance=(containernetworking-plugins:/usr/lib/cni/bridge iptables:/usr/sbin/iptables iproute2:/sbin/ip lsof:/usr/bin/lsof strace:/usr/bin/strace)
fuzz=(libclang-rt-19-dev:/usr/lib/llvm-19/lib/clang/19/lib/linux g++:/usr/bin/g++)
dashboard=()
# Debian's Node is too old before Debian 13; one from elsewhere brings its npm.
command -v node >/dev/null || dashboard=(nodejs:/usr/bin/node npm:/usr/bin/npm)
case "${1:-}" in
  build) wanted=("${build[@]}") ;;
  test) wanted=("${build[@]}" "${test[@]}") ;;
  check) wanted=("${build[@]}" "${check[@]}") ;;
  conformance) wanted=("${build[@]}" "${test[@]}" "${conformance[@]}") ;;
  fuzz) wanted=("${build[@]}" "${fuzz[@]}") ;;
  dashboard) wanted=("${dashboard[@]}") ;;
  *) echo "usage: $0 build|test|check|conformance|fuzz|dashboard" >&2; exit 2 ;;
esac
missing=()
for entry in "${wanted[@]}"; do
  [ -e "${entry#*:}" ] || missing+=("${entry%%:*}")
done
[ ${#missing[@]} -eq 0 ] || apt_install "${missing[@]}"
if [ "$1" = dashboard ]; then
  # the oldest that vite runs on
  oldest=20.19
  if [ "$(printf 'v%s\n' "$oldest" | cat - <(node -v) | sort -V | head -n 1)" != "v$oldest" ]; then
    echo "missing: Node $oldest or newer, this is $(node -v), see https://nodejs.org" >&2
    exit 1
  fi
  exit 0
fi
command -v cargo >/dev/null || { echo "missing: Rust, see https://rustup.rs" >&2; exit 1; }
