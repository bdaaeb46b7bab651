#!/usr/bin/env bash
# Runs a program on a node of its own: Debian in a virtual machine, with systemd, cgroup v2, AppArmor and every capability. DIR becomes
# its second disk, mounted at /job, where DIR/run is run as root. Prints what that prints and exits with its exit code; with 124 after
# SECONDS (default 600), with 125 where the machine ended without one. Needs root, for the disk.
# Usage: scripts/vm/run.sh DIR [SECONDS]
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/vm/env.sh
dir=${1:?usage: $0 DIR [SECONDS]} limit=${2:-600}
scripts/vm/disk.sh
work=$(mktemp -d "$VM_DIR/run.XXXX")
machine=
# shellcheck disable=SC2317 # called by the trap
end() {
  if [ -n "$machine" ]; then
    kill "$machine" 2>/dev/null || true
    wait "$machine" || true
  fi
  rm -rf "$work"
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

megabytes=$(du -sm --apparent-size "$dir" | cut -f1)
mke2fs -q -t ext4 -L job -m 0 -O ^has_journal -d "$dir" "$work/job.ext4" "$((megabytes * 9 / 8 + 32))M" >"$work/log" 2>&1 ||
  { cat "$work/log" >&2; exit 125; }
read -ra accelerator < <(scripts/vm/accelerator.sh)
# A standard input that never ends: where it has ended, qemu keeps the guest's output back.
mkfifo "$work/silence"
# Where a process of this chain is killed, the kernel kills the next.
bound=(setpriv --pdeathsig KILL)
"${bound[@]}" timeout -k 5 "$limit" "${bound[@]}" "$VM_QEMU" "${accelerator[@]}" -machine "$VM_MACHINE" -smp "$(nproc)" -m 3072 \
  -nodefaults -no-user-config -no-reboot -display none -nic none -device virtio-rng-pci \
  -kernel "$VM_DIR/vmlinuz" -initrd "$VM_DIR/initrd.img" \
  -append "root=/dev/vda rw console=$VM_CONSOLE panic=-1 mitigations=off systemd.show_status=0" \
  -drive "file=$VM_DIR/root.ext4,format=raw,if=virtio,snapshot=on" -drive "file=$work/job.ext4,format=raw,if=virtio,snapshot=on" \
  -chardev "file,id=console,path=$work/console" -serial chardev:console -device virtio-serial-pci \
  -chardev stdio,id=output,signal=off -device virtserialport,chardev=output,name=output \
  -chardev "file,id=code,path=$work/code" -device virtserialport,chardev=code,name=code <>"$work/silence" &
machine=$!
code=0
wait "$machine" || code=$?
machine=
if [ "$code" -eq 0 ]; then code=$(cat "$work/code"); fi
case $code in
  '' | 124 | 125) tail -n 40 "$work/console" >&2 ;;
esac
exit "${code:-125}"
