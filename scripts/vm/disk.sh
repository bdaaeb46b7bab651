#!/usr/bin/env bash
# Makes the virtual machine's disk from Debian's packages: .state/vm/{root.ext4,vmlinuz,initrd.img}. A disk is kept that was made by
# the same scripts, of the same packages, in the same month; so it has security updates that are a month old at most. Needs root.
# Usage: scripts/vm/disk.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/vm/env.sh
suite=bookworm
packages=(
  # a node: systemd as process 1, a kernel, the security module of Debian and Ubuntu, runc
  "$VM_KERNEL" apparmor ca-certificates dbus initramfs-tools iproute2 kmod lz4 procps runc systemd-sysv udev
  # what the tests start, put into images or look at files with
  binutils busybox-static containerd docker-registry redis-server redis-tools
)
stamp=$VM_DIR/disk.stamp
current=$({ date +%Y-%m; cat "$0" scripts/vm/env.sh; uname -m; tar -C scripts/vm/guest --sort=name --mtime=@0 --owner=0 --group=0 -c .; } |
  sha256sum)
if [ "$(cat "$stamp" 2>/dev/null)" = "$current" ]; then exit 0; fi

echo "Debian $suite for the virtual machine (once a month; about two minutes)"
mkdir -p "$VM_DIR"
rm -f "$stamp"
root=$(mktemp -d "$VM_DIR/root.XXXX")
trap 'rm -rf "$root"' EXIT
# The guest's own files come before most packages, because the kernel's package makes the initial RAM disk.
mmdebstrap --quiet --variant=minbase --include="$(IFS=,; echo "${packages[*]}")" --aptopt='APT::Install-Recommends "false"' \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
  --dpkgopt='path-exclude=/etc/apparmor.d/lsb_release' --dpkgopt='path-exclude=/etc/apparmor.d/nvidia_modprobe' \
  --dpkgopt=force-confold --essential-hook='sync-in scripts/vm/guest /' "$suite" "$root/files"
mv "$root"/files/boot/vmlinuz-* "$root/vmlinuz"
mv "$root"/files/boot/initrd.img-* "$root/initrd.img"
# The file is sparse: what the guest does not write takes no space.
mke2fs -q -t ext4 -L root -m 0 -O ^has_journal -d "$root/files" "$root/root.ext4" 4G
mv "$root"/{root.ext4,vmlinuz,initrd.img} "$VM_DIR/"
echo "$current" >"$stamp"
