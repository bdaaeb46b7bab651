# shellcheck shell=bash
# What the scripts of the virtual machine share: sourced from the repository's root.
# mke2fs is there
PATH=$PATH:/usr/sbin:/sbin
export VM_DIR=$PWD/.state/vm
case $(uname -m) in
  x86_64) VM_QEMU=qemu-system-x86_64 VM_MACHINE=q35 VM_CONSOLE=ttyS0 VM_KERNEL=linux-image-cloud-amd64 ;;
  aarch64) VM_QEMU=qemu-system-aarch64 VM_MACHINE=virt,gic-version=max VM_CONSOLE=ttyAMA0 VM_KERNEL=linux-image-cloud-arm64 ;;
  *) echo "no virtual machine is described for $(uname -m)" >&2; exit 1 ;;
esac
export VM_QEMU VM_MACHINE VM_CONSOLE VM_KERNEL
