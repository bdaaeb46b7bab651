#!/usr/bin/env bash
# Installs what building and testing need and this machine lacks. Debian and root: by apt; elsewhere it says what is missing.
# Usage: scripts/install.sh build|test|check
set -euo pipefail
build=(libseccomp-dev:/usr/include/seccomp.h pkg-config:/usr/bin/pkg-config protobuf-compiler:/usr/bin/protoc gcc:/usr/bin/gcc)
test=(containerd:/usr/bin/containerd runc:/usr/sbin/runc redis-server:/usr/bin/redis-server redis-tools:/usr/bin/redis-cli
  docker-registry:/usr/bin/docker-registry curl:/usr/bin/curl wrk:/usr/bin/wrk)
check=(shellcheck:/usr/bin/shellcheck)
case "${1:-}" in
  build) wanted=("${build[@]}") ;;
  test) wanted=("${build[@]}" "${test[@]}") ;;
  check) wanted=("${build[@]}" "${check[@]}") ;;
  *) echo "usage: $0 build|test|check" >&2; exit 2 ;;
esac
missing=()
for entry in "${wanted[@]}"; do
  [ -e "${entry#*:}" ] || missing+=("${entry%%:*}")
done
if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "missing: ${missing[*]} (Debian's names); install them and try again" >&2
    exit 1
  fi
  echo "installing ${missing[*]}"
  # Debian starts what it installs; nothing of it is wanted as a service here.
  export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
command -v cargo >/dev/null || { echo "missing: Rust, see https://rustup.rs" >&2; exit 1; }
