//! OCI images of Spin apps: read, verify, unpack, pack, push.
