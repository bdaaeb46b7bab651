//! Lowers what a process is to have to what this process may give.
//!
//! A node that is itself a container often lacks CAP_SYS_RESOURCE (and others). Setting a lower oom score or a higher limit fails there,
//! and with it every pod; runc's users get the same leniency from containerd's `restrict_oom_score_adj`.

use std::fs;

use anyhow::{Context, Result};
use oci_spec::runtime::{Capabilities, Capability, LinuxCapabilities, PosixRlimit, PosixRlimitBuilder, Process};
use rustix::thread::{CapabilitySet, capabilities};

use crate::sys;

/// What this process may do.
struct Powers {
    capabilities: CapabilitySet,
    lowest_oom_score: fn(i32) -> i32,
    hard_limit: fn(u32) -> u64,
}

/// Changes a process where it asks for more than is possible.
pub fn to_what_is_allowed(process: &mut Process) -> Result<()> {
    Powers::own()?.clamp(process);
    Ok(())
}

/// The score nearest to this one that this process may have, which it has only for the time of the question. The kernel lets a process go back to the lowest
/// score that a process with the capability gave it, and does not say which that is.
fn lowest_oom_score(wanted: i32) -> i32 {
    const FILE: &str = "/proc/self/oom_score_adj";
    let own = fs::read_to_string(FILE).ok().and_then(|score| score.trim().parse().ok()).unwrap_or(wanted);
    let may_have = wanted >= own || fs::write(FILE, wanted.to_string()).is_ok();
    let _higher_again = fs::write(FILE, own.to_string());
    if may_have { wanted } else { own }
}

impl Powers {
    fn own() -> Result<Self> {
        let capabilities = capabilities(None).context("our capabilities")?.permitted;
        Ok(Self { capabilities, lowest_oom_score, hard_limit: sys::hard_limit })
    }

    fn clamp(&self, process: &mut Process) {
        if let Some(capabilities) = process.capabilities() {
            process.set_capabilities(Some(self.held(capabilities)));
        }
        if self.capabilities.contains(CapabilitySet::SYS_RESOURCE) {
            return;
        }
        if let Some(score) = process.oom_score_adj() {
            process.set_oom_score_adj(Some((self.lowest_oom_score)(score)));
        }
        if let Some(limits) = process.rlimits() {
            process.set_rlimits(Some(limits.iter().map(|limit| self.limited(limit)).collect()));
        }
    }

    fn held(&self, wanted: &LinuxCapabilities) -> LinuxCapabilities {
        let held =
            |set: &Option<Capabilities>| set.as_ref().map(|set| set.iter().copied().filter(|one| self.holds(*one)).collect());
        let mut result = wanted.clone();
        result.set_bounding(held(wanted.bounding())).set_effective(held(wanted.effective()));
        result.set_inheritable(held(wanted.inheritable())).set_permitted(held(wanted.permitted()));
        result.set_ambient(held(wanted.ambient()));
        result
    }

    fn holds(&self, capability: Capability) -> bool {
        CapabilitySet::from_name(&capability.to_string()).is_some_and(|capability| self.capabilities.contains(capability))
    }

    fn limited(&self, limit: &PosixRlimit) -> PosixRlimit {
        let most = (self.hard_limit)(limit.typ() as u32);
        let (hard, soft) = (limit.hard().min(most), limit.soft().min(most));
        PosixRlimitBuilder::default().typ(limit.typ()).hard(hard).soft(soft).build().unwrap_or(*limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::{PosixRlimitType, ProcessBuilder};

    fn process() -> Process {
        let limit = PosixRlimitBuilder::default().typ(PosixRlimitType::RlimitNofile).hard(4096u64).soft(2048u64).build();
        let wanted: Capabilities = [Capability::SysResource, Capability::Kill].into_iter().collect();
        let mut capabilities = LinuxCapabilities::default();
        capabilities.set_bounding(Some(wanted));
        let process = ProcessBuilder::default().oom_score_adj(-997).rlimits(vec![limit.expect("a limit")]);
        process.capabilities(capabilities).build().expect("a process")
    }

    fn powers(capabilities: CapabilitySet) -> Powers {
        Powers { capabilities, lowest_oom_score: |wanted| wanted.max(5), hard_limit: |_| 1024 }
    }

    #[test]
    fn without_the_capability_nothing_is_asked_that_would_be_refused() {
        let mut process = process();
        powers(CapabilitySet::KILL).clamp(&mut process);
        let limit = &process.rlimits().as_ref().expect("limits")[0];
        assert_eq!((process.oom_score_adj(), limit.hard(), limit.soft()), (Some(5), 1024, 1024));
        let bounding = process.capabilities().as_ref().and_then(|sets| sets.bounding().clone()).expect("a set");
        assert_eq!(bounding, [Capability::Kill].into_iter().collect());
    }

    #[test]
    fn with_the_capability_a_spec_is_left_as_it_is() {
        let mut process = process();
        powers(CapabilitySet::KILL | CapabilitySet::SYS_RESOURCE).clamp(&mut process);
        let limit = &process.rlimits().as_ref().expect("limits")[0];
        assert_eq!((process.oom_score_adj(), limit.hard()), (Some(-997), 4096));
    }

    #[test]
    fn a_spec_and_the_kernel_mean_the_same_capabilities() {
        for (name, one) in CapabilitySet::all().iter_names() {
            let capability = serde_json::from_value(format!("CAP_{name}").into()).expect("a spec can name it");
            assert!(powers(one).holds(capability) && !powers(!one).holds(capability), "{name}");
        }
    }
}
