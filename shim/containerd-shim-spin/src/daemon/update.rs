//! New limits for a container that runs: `kubectl` resizing a pod in place, the kubelet's CPU manager.

use std::fs;
use std::io;

use oci_spec::runtime::{LinuxCpu, LinuxMemory, LinuxResources};

use crate::cgroup::Cgroup;

/// A value for a file of a controller.
#[derive(Debug, PartialEq)]
struct Setting {
    controller: &'static str,
    file: String,
    value: String,
}

/// Sets what the message has, and leaves what it hasn't.
pub fn update(cgroup: &Cgroup, json: &[u8]) -> io::Result<()> {
    let resources: LinuxResources = serde_json::from_slice(json)?;
    let settings = if cgroup.is_unified() { unified(&resources)? } else { legacy(&resources) };
    let mut failed: Vec<Setting> = settings.into_iter().filter(|setting| setting.write(cgroup).is_err()).collect();
    // Two limits can depend on each other (memory, and memory with swap): in the other order both are possible.
    failed.reverse();
    failed.iter().try_for_each(|setting| setting.write(cgroup))
}

impl Setting {
    fn new(controller: &'static str, file: &str, value: impl ToString) -> Self {
        Self { controller, file: file.to_owned(), value: value.to_string() }
    }

    fn write(&self, cgroup: &Cgroup) -> io::Result<()> {
        let dir = cgroup.dir(self.controller).ok_or_else(|| io::Error::other(format!("no {} cgroup", self.controller)))?;
        let failed = |error| io::Error::other(format!("setting {} to {}: {error}", self.file, self.value));
        fs::write(dir.join(&self.file), &self.value).map_err(failed)
    }
}

fn legacy(resources: &LinuxResources) -> Vec<Setting> {
    let mut settings = Vec::new();
    let mut set =
        |controller, file: &str, value: Option<String>| settings.extend(value.map(|value| Setting::new(controller, file, value)));
    if let Some(memory) = resources.memory() {
        set("memory", "memory.limit_in_bytes", memory.limit().map(|bytes| bytes.to_string()));
        set("memory", "memory.memsw.limit_in_bytes", memory.swap().map(|bytes| bytes.to_string()));
        set("memory", "memory.soft_limit_in_bytes", memory.reservation().map(|bytes| bytes.to_string()));
    }
    if let Some(cpu) = resources.cpu() {
        set("cpu", "cpu.shares", cpu.shares().filter(|&shares| shares > 0).map(|shares| shares.to_string()));
        set("cpu", "cpu.cfs_period_us", cpu.period().filter(|&period| period > 0).map(|period| period.to_string()));
        set("cpu", "cpu.cfs_quota_us", cpu.quota().filter(|&quota| quota != 0).map(|quota| quota.to_string()));
    }
    settings.extend(shared(resources));
    settings
}

fn unified(resources: &LinuxResources) -> io::Result<Vec<Setting>> {
    let mut settings = Vec::new();
    if let Some(memory) = resources.memory() {
        settings.extend(unified_memory(memory));
    }
    if let Some(cpu) = resources.cpu() {
        settings.extend(unified_cpu(cpu));
    }
    settings.extend(shared(resources));
    for (file, value) in resources.unified().iter().flatten() {
        if file.contains('/') || !file.contains('.') {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{file:?} is no file of a cgroup")));
        }
        settings.push(Setting::new("", file, value));
    }
    Ok(settings)
}

fn unified_memory(memory: &LinuxMemory) -> Vec<Setting> {
    let bytes = |bytes: i64| if bytes < 0 { "max".to_owned() } else { bytes.to_string() };
    let limit = memory.limit().filter(|&limit| limit != 0);
    let low = memory.reservation().filter(|&low| low != 0);
    // The message counts memory and swap together, the file swap alone.
    let swap = memory
        .swap()
        .filter(|&swap| swap != 0)
        .zip(limit)
        .map(|(swap, limit)| if swap < 0 { swap } else { (swap - limit).max(0) });
    let files = [("memory.max", limit), ("memory.swap.max", swap), ("memory.low", low)];
    files.into_iter().filter_map(|(file, value)| Some(Setting::new("memory", file, bytes(value?)))).collect()
}

fn unified_cpu(cpu: &LinuxCpu) -> Vec<Setting> {
    let mut settings = Vec::new();
    if let Some(shares) = cpu.shares().filter(|&shares| shares > 0) {
        settings.push(Setting::new("cpu", "cpu.weight", weight(shares)));
    }
    let quota = cpu.quota().filter(|&quota| quota != 0);
    if let Some(quota) = quota {
        let quota = if quota < 0 { "max".to_owned() } else { quota.to_string() };
        settings.push(Setting::new(
            "cpu",
            "cpu.max",
            format!("{quota} {}", cpu.period().filter(|&period| period > 0).unwrap_or(100_000)),
        ));
    }
    settings
}

/// Version 1's 2 to 262144 onto version 2's 1 to 10000, as runc has it, so that limits set at creation and later are alike.
fn weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}

/// What both versions call the same.
fn shared(resources: &LinuxResources) -> Vec<Setting> {
    let mut settings = Vec::new();
    if let Some(cpu) = resources.cpu() {
        let files = [("cpuset.cpus", cpu.cpus()), ("cpuset.mems", cpu.mems())];
        let files = files.into_iter().filter_map(|(file, value)| Some((file, value.as_ref().filter(|value| !value.is_empty())?)));
        settings.extend(files.map(|(file, value)| Setting::new("cpuset", file, value)));
    }
    if let Some(limit) = resources.pids().as_ref().map(|pids| pids.limit()).filter(|&limit| limit != 0) {
        settings.push(Setting::new("pids", "pids.max", if limit < 0 { "max".to_owned() } else { limit.to_string() }));
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(of: fn(&LinuxResources) -> Vec<Setting>, json: &str) -> Vec<(String, String)> {
        let resources = serde_json::from_str(json).expect("resources");
        of(&resources).into_iter().map(|setting| (setting.file, setting.value)).collect()
    }

    const RESIZED: &str =
        r#"{"memory":{"limit":1000,"swap":1500},"cpu":{"shares":1024,"quota":50000,"period":100000,"cpus":"0-1"}}"#;

    #[test]
    fn version_1_gets_the_values_as_they_come() {
        let settings = settings(legacy, RESIZED);
        assert!(settings.contains(&("memory.memsw.limit_in_bytes".to_owned(), "1500".to_owned())), "{settings:?}");
        assert!(settings.contains(&("cpu.cfs_quota_us".to_owned(), "50000".to_owned())), "{settings:?}");
    }

    #[test]
    fn version_2_counts_swap_alone_and_weighs_shares() {
        let settings = settings(|resources| unified(resources).expect("good"), RESIZED);
        for (file, value) in
            [("memory.swap.max", "500"), ("cpu.weight", "39"), ("cpu.max", "50000 100000"), ("cpuset.cpus", "0-1")]
        {
            assert!(settings.contains(&(file.to_owned(), value.to_owned())), "{file} in {settings:?}");
        }
    }

    #[test]
    fn no_file_outside_the_cgroup_can_be_named() {
        let resources = serde_json::from_str(r#"{"unified":{"../x":"1"}}"#).expect("resources");
        assert!(unified(&resources).is_err());
    }
}
