#!/usr/bin/env bash
# Prints the virtual machine's processor as qemu's arguments: the host's own where /dev/kvm boots the guest's kernel, otherwise one
# that qemu emulates, which is some ten times slower. Tried once for each boot of the host. Usage: scripts/vm/accelerator.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/vm/env.sh
answer=$VM_DIR/accelerator
host="$(cat /proc/sys/kernel/random/boot_id) $(cat "$VM_DIR/disk.stamp")"
if [ "$(head -n 1 "$answer" 2>/dev/null)" = "$host" ]; then
  tail -n 1 "$answer"
  exit 0
fi

accelerator="-accel tcg,thread=multi,tb-size=512 -cpu max"
kvm=(-accel kvm -cpu host)
# That /dev/kvm can be opened does not mean that it boots this kernel: some hosts are virtual machines themselves and run only
# kernels made for them. The first program ends at once, so the kernel panics and restarts, by which qemu ends.
output=$(timeout -k 1 10 "$VM_QEMU" "${kvm[@]}" -machine "$VM_MACHINE" -m 512 -nodefaults -no-user-config -no-reboot -display none \
  -nic none -serial stdio -kernel "$VM_DIR/vmlinuz" -initrd "$VM_DIR/initrd.img" \
  -append "console=$VM_CONSOLE panic=-1 rdinit=/bin/true" </dev/null 2>&1 | tr -d '\0' || true)
if [[ $output == *"Attempted to kill init"* ]]; then accelerator="${kvm[*]}"; fi
printf '%s\n%s\n' "$host" "$accelerator" >"$answer"
echo "$accelerator"
