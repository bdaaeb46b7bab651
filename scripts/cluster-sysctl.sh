#!/usr/bin/env bash
# Docker and the kubelets set sysctls of the whole machine: keeps them before, puts them back afterwards.
# Usage: scripts/cluster-sysctl.sh save|restore
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(uname -s)" = Linux ] || exit 0
saved=.state/sysctl
names=(net.ipv4.ip_forward net.bridge.bridge-nf-call-iptables net.bridge.bridge-nf-call-ip6tables
  vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops kernel.keys.root_maxkeys kernel.keys.root_maxbytes)

case "${1:-}" in
  save)
    # the values of before the first `up` count
    [ -s "$saved" ] && exit 0
    mkdir -p .state
    for name in "${names[@]}"; do
      file=/proc/sys/${name//.//}
      if [ -r "$file" ]; then echo "$file $(cat "$file")"; fi
    done >"$saved"
    ;;
  restore)
    [ -s "$saved" ] || exit 0
    changed=()
    while read -r file value; do
      # some are gone with the module they belong to
      if [ ! -e "$file" ] || [ "$(cat "$file")" = "$value" ]; then continue; fi
      if ! { echo "$value" >"$file"; } 2>/dev/null; then changed+=("echo $value >$file"); fi
    done <"$saved"
    if [ ${#changed[@]} -gt 0 ]; then
      echo "changed by docker and the cluster; as root, put back by:" >&2
      printf '  %s\n' "${changed[@]}" >&2
    fi
    rm "$saved"
    ;;
  *) echo "usage: $0 save|restore" >&2; exit 2 ;;
esac
