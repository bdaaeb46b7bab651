#!/usr/bin/env bash
# Installs what building and testing need and this machine lacks. Debian and root: by apt; elsewhere it says what is missing.
# Usage: scripts/install.sh build|test|check|conformance|fuzz
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/apt.sh
build=(libseccomp-dev:/usr/include/seccomp.h pkg-config:/usr/bin/pkg-config protobuf-compiler:/usr/bin/protoc gcc:/usr/bin/gcc xz-utils:/usr/bin/xz)
test=(containerd:/usr/bin/containerd runc:/usr/sbin/runc redis-server:/usr/bin/redis-server redis-tools:/usr/bin/redis-cli openssl:/usr/bin/openssl
  docker-registry:/usr/bin/docker-registry curl:/usr/bin/curl wrk:/usr/bin/wrk
  busybox-static:/usr/share/doc/busybox-static/copyright mmdebstrap:/usr/bin/mmdebstrap e2fsprogs:/sbin/mke2fs)
case $(uname -m) in
  x86_64) test+=(qemu-system-x86:/usr/bin/qemu-system-x86_64) ;;
  aarch64) test+=(qemu-system-arm:/usr/bin/qemu-system-aarch64) ;;
esac
check=(shellcheck:/usr/bin/shellcheck)
conformance=(containernetworking-plugins:/usr/lib/cni/bridge iptables:/usr/sbin/iptables iproute2:/sbin/ip lsof:/usr/bin/lsof strace:/usr/bin/strace)
fuzz=(libclang-rt-19-dev:/usr/lib/llvm-19/lib/clang/19/lib/linux g++:/usr/bin/g++)
case "${1:-}" in
  build) wanted=("${build[@]}") ;;
  test) wanted=("${build[@]}" "${test[@]}") ;;
  check) wanted=("${build[@]}" "${check[@]}") ;;
  conformance) wanted=("${build[@]}" "${test[@]}" "${conformance[@]}") ;;
  fuzz) wanted=("${build[@]}" "${fuzz[@]}") ;;
  *) echo "usage: $0 build|test|check|conformance|fuzz" >&2; exit 2 ;;
esac
missing=()
for entry in "${wanted[@]}"; do
  [ -e "${entry#*:}" ] || missing+=("${entry%%:*}")
done
[ ${#missing[@]} -eq 0 ] || apt_install "${missing[@]}"
command -v cargo >/dev/null || { echo "missing: Rust, see https://rustup.rs" >&2; exit 1; }
