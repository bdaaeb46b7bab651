//! containerd's shim for Spin apps.

fn main() {}
