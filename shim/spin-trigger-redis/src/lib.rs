//! The Redis trigger: subscribe, handle, reconnect.
