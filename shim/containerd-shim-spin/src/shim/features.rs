//! The features of this runtime, in the form in which `runc features` prints its own (runtime-spec, `features.md`). CRI offers
//! Kubernetes what is listed here, so the lists hold only what works: libcontainer accepts more mount options than it applies.

use oci_spec::runtime::VERSION;
use rustix::thread::CapabilitySet;
use serde_json::{Value, json};

/// The type by which containerd knows the message below, whose value is JSON.
pub const TYPE_URL: &str = "types.containerd.io/opencontainers/runtime-spec/1/features/Features";

const HOOKS: [&str; 6] = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

const NAMESPACES: [&str; 8] = ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"];

/// Of these, libcontainer applies all but `idmap`, `nosymfollow`, `ridmap` and `tmpcopyup`, which this crate applies.
const MOUNT_OPTIONS: &[&str] = &[
    "atime",
    "bind",
    "defaults",
    "dev",
    "diratime",
    "exec",
    "idmap",
    "noatime",
    "nodev",
    "nodiratime",
    "noexec",
    "norelatime",
    "nostrictatime",
    "nosuid",
    "nosymfollow",
    "private",
    "ratime",
    "rbind",
    "rdev",
    "rdiratime",
    "relatime",
    "rexec",
    "ridmap",
    "rnoatime",
    "rnodev",
    "rnodiratime",
    "rnoexec",
    "rnorelatime",
    "rnostrictatime",
    "rnosuid",
    "rnosymfollow",
    "ro",
    "rprivate",
    "rrelatime",
    "rro",
    "rrw",
    "rshared",
    "rslave",
    "rstrictatime",
    "rsuid",
    "rsymfollow",
    "runbindable",
    "rw",
    "shared",
    "slave",
    "strictatime",
    "suid",
    "tmpcopyup",
    "unbindable",
];

const SECCOMP_ACTIONS: [&str; 8] = [
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_LOG",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_TRAP",
];

const SECCOMP_OPERATORS: [&str; 7] =
    ["SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_LT", "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE"];

/// All of them. `has_users`: whether the handler can be offered for containers with users of their own; `has_idmaps`: whether the
/// node has idmapped mounts. What is left out is unknown to the reader, which is not the same as `false`.
pub fn features(has_users: bool, has_idmaps: bool) -> Value {
    let namespaces = NAMESPACES.iter().filter(|namespace| has_users || **namespace != "user");
    let capabilities = CapabilitySet::all().iter_names().map(|(name, _)| format!("CAP_{name}"));
    json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": VERSION,
        "hooks": HOOKS,
        "mountOptions": MOUNT_OPTIONS,
        "linux": {
            "namespaces": namespaces.collect::<Vec<_>>(),
            "capabilities": capabilities.collect::<Vec<_>>(),
            "cgroup": { "v1": true, "v2": true, "systemd": true, "systemdUser": false },
            "seccomp": { "enabled": true, "actions": SECCOMP_ACTIONS, "operators": SECCOMP_OPERATORS },
            "apparmor": { "enabled": true },
            "selinux": { "enabled": true },
            "mountExtensions": { "idmap": { "enabled": has_idmaps } },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::Features;

    #[test]
    fn features_are_those_of_the_runtime_specification() {
        let features: Features = serde_json::from_value(features(true, true)).expect("features");
        let linux = features.linux().as_ref().expect("features of Linux");
        let seccomp = linux.seccomp().as_ref().expect("features of seccomp");
        assert_eq!(seccomp.actions().as_ref().map(Vec::len), Some(SECCOMP_ACTIONS.len()));
        assert!(linux.capabilities().iter().flatten().any(|name| name == "CAP_NET_BIND_SERVICE"));
    }

    #[test]
    fn idmapped_mounts_are_offered_where_the_node_has_them() {
        for has_idmaps in [true, false] {
            let features = features(true, has_idmaps);
            assert_eq!(features["linux"]["mountExtensions"]["idmap"]["enabled"], has_idmaps);
        }
    }
}
