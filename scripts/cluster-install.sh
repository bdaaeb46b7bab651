#!/usr/bin/env bash
# Installs what the local cluster needs and this machine lacks. Debian and root: by apt; elsewhere it says what is missing.
# Usage: scripts/cluster-install.sh
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/apt.sh
wanted=(docker.io:docker iptables:iptables mmdebstrap:mmdebstrap debian-archive-keyring: curl:curl procps:sysctl iproute2:ip)
# an empty DOCKER_HOST-less client is not enough: without a daemon to talk to, the project starts its own
docker info >/dev/null 2>&1 || wanted+=(docker.io:dockerd runc:runc containerd:containerd)
missing=()
for entry in "${wanted[@]}"; do
  package=${entry%%:*} program=${entry#*:}
  if [ -n "$program" ]; then
    PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null || missing+=("$package")
  else
    [ -e "/usr/share/doc/$package" ] || [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || missing+=("$package")
  fi
done
[ ${#missing[@]} -eq 0 ] || apt_install "${missing[@]}"
if ! command -v go >/dev/null; then
  echo "missing: Go 1.21 or newer (it fetches the version that is needed itself), see https://go.dev/dl" >&2
  exit 1
fi
