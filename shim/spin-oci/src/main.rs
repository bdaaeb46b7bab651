//! `spin-oci`: packs, pushes and shows OCI images of Spin apps.

fn main() {}
