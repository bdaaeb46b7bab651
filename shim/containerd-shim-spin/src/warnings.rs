//! The log messages that are passed on to people: warnings and errors of our own crates.

use log::{Level, Metadata};

/// The libraries' messages are left out: libcgroups, for example, warns of each controller that the machine lacks, for each container.
const CRATES: [&str; 7] = [
    "spin_app",
    "spin_oci",
    "spin_runtime",
    "spin_trigger_http",
    "spin_trigger_redis",
    "containerd_shim_spin",
    "containerd_shim_spin_v2",
];

/// Whether a message is one of them.
pub fn is_ours(metadata: &Metadata<'_>) -> bool {
    let name = metadata.target().split("::").next().unwrap_or_default();
    metadata.level() <= Level::Warn && CRATES.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_warnings_and_errors_of_our_own_crates_are_passed_on() {
        let heard = |level, target| is_ours(&Metadata::builder().level(level).target(target).build());
        assert!(heard(Level::Error, "spin_trigger_http::server") && heard(Level::Warn, "spin_runtime"));
        assert!(heard(Level::Warn, "containerd_shim_spin::sys") && heard(Level::Warn, "containerd_shim_spin_v2::create"));
        assert!(
            !heard(Level::Info, "spin_runtime") && !heard(Level::Error, "spin_runtimes") && !heard(Level::Error, "hyper::proto")
        );
    }
}
