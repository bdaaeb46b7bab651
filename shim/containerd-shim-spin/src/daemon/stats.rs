//! A container's use of resources, as the messages that containerd's own metrics and the kubelet's statistics read.

use containerd_shim_protos::cgroups::metrics as v1;
use containerd_shim_protos::cgroups_v2::metrics as v2;
use containerd_shim_protos::protobuf::well_known_types::any::Any;

use super::events::{Named, any};
use crate::cgroup::Cgroup;

/// One of the kernel's clock ticks in version 1's `cpuacct.stat`, in nanoseconds: USER_HZ is 100 everywhere.
const TICK: u64 = 10_000_000;

/// The figures of now; after the container's end, the last ones.
pub fn stats(cgroup: &Cgroup) -> Any {
    if cgroup.is_unified() { any(&unified(cgroup)) } else { any(&legacy(cgroup)) }
}

fn unified(cgroup: &Cgroup) -> v2::Metrics {
    let mut memory = v2::MemoryStat::new();
    fill(&mut memory, &table(cgroup, "memory", "memory.stat"));
    memory.usage = number(cgroup, "memory", "memory.current");
    memory.usage_limit = number(cgroup, "memory", "memory.max");
    memory.max_usage = number(cgroup, "memory", "memory.peak");
    memory.swap_usage = number(cgroup, "memory", "memory.swap.current");
    memory.swap_limit = number(cgroup, "memory", "memory.swap.max");
    let mut events = v2::MemoryEvents::new();
    fill(&mut events, &table(cgroup, "memory", "memory.events"));
    let mut cpu = v2::CPUStat::new();
    fill(&mut cpu, &table(cgroup, "cpu", "cpu.stat"));
    let limit = number(cgroup, "pids", "pids.max");
    let pids = v2::PidsStat { current: number(cgroup, "pids", "pids.current"), limit, ..Default::default() };
    v2::Metrics {
        cpu: Some(cpu).into(),
        memory: Some(memory).into(),
        memory_events: Some(events).into(),
        pids: Some(pids).into(),
        io: Some(io(cgroup)).into(),
        ..Default::default()
    }
}

/// `MAJOR:MINOR rbytes=… wbytes=… rios=… wios=…` a line.
fn io(cgroup: &Cgroup) -> v2::IOStat {
    let text = cgroup.read("io", "io.stat").unwrap_or_default();
    let entries = text.lines().filter_map(|line| {
        let (device, fields) = line.split_once(' ')?;
        let (major, minor) = device.split_once(':')?;
        let mut entry = v2::IOEntry { major: major.parse().ok()?, minor: minor.parse().ok()?, ..Default::default() };
        fill(
            &mut entry,
            &fields.replace('=', " ").split(' ').collect::<Vec<_>>().chunks(2).map(pair).collect::<Option<Vec<_>>>()?,
        );
        Some(entry)
    });
    v2::IOStat { usage: entries.collect(), ..Default::default() }
}

fn pair(words: &[&str]) -> Option<(String, u64)> {
    Some((words.first()?.to_string(), words.get(1)?.parse().ok()?))
}

fn legacy(cgroup: &Cgroup) -> v1::Metrics {
    let mut memory = v1::MemoryStat::new();
    fill(&mut memory, &table(cgroup, "memory", "memory.stat").into_iter().map(legacy_name).collect::<Vec<_>>());
    memory.usage = Some(entry(cgroup, "memory")).into();
    memory.swap = Some(entry(cgroup, "memory.memsw")).into();
    memory.kernel = Some(entry(cgroup, "memory.kmem")).into();
    let mut oom = v1::MemoryOomControl::new();
    fill(&mut oom, &table(cgroup, "memory", "memory.oom_control"));
    let limit = number(cgroup, "pids", "pids.max");
    let pids = v1::PidsStat { current: number(cgroup, "pids", "pids.current"), limit, ..Default::default() };
    v1::Metrics {
        cpu: Some(legacy_cpu(cgroup)).into(),
        memory: Some(memory).into(),
        memory_oom_control: Some(oom).into(),
        pids: Some(pids).into(),
        ..Default::default()
    }
}

fn legacy_cpu(cgroup: &Cgroup) -> v1::CPUStat {
    let ticks = table(cgroup, "cpuacct", "cpuacct.stat");
    let of = |name: &str| ticks.iter().find(|(key, _)| key == name).map_or(0, |(_, ticks)| ticks * TICK);
    let total = number(cgroup, "cpuacct", "cpuacct.usage");
    let usage = v1::CPUUsage { total, user: of("user"), kernel: of("system"), ..Default::default() };
    let stat = table(cgroup, "cpu", "cpu.stat");
    let of = |name: &str| stat.iter().find(|(key, _)| key == name).map_or(0, |(_, value)| *value);
    let throttling = v1::Throttle {
        periods: of("nr_periods"),
        throttled_periods: of("nr_throttled"),
        throttled_time: of("throttled_time"),
        ..Default::default()
    };
    v1::CPUStat { usage: Some(usage).into(), throttling: Some(throttling).into(), ..Default::default() }
}

fn entry(cgroup: &Cgroup, of: &str) -> v1::MemoryEntry {
    let read = |what: &str| number(cgroup, "memory", &format!("{of}.{what}"));
    v1::MemoryEntry {
        usage: read("usage_in_bytes"),
        limit: read("limit_in_bytes"),
        max: read("max_usage_in_bytes"),
        failcnt: read("failcnt"),
        ..Default::default()
    }
}

/// The message spells a few of the kernel's names in its own way.
fn legacy_name((name, value): (String, u64)) -> (String, u64) {
    let name = name.replace("hierarchical_memsw_limit", "hierarchical_swap_limit");
    (
        ["pgpgin/pg_pg_in", "pgpgout/pg_pg_out", "pgfault/pg_fault", "pgmajfault/pg_maj_fault"].iter().fold(
            name,
            |name, names| {
                let (theirs, ours) = names.split_once('/').unwrap_or((names, names));
                name.replace(theirs, ours)
            },
        ),
        value,
    )
}

/// Sets the fields of a message that have the kernel's names.
fn fill(message: &mut impl Figures, values: &[(String, u64)]) {
    for (name, value) in values {
        if let Some(figure) = message.figure(name) {
            *figure = *value;
        }
    }
}

/// A message with fields of the kernel's names.
trait Figures {
    fn figure(&mut self, name: &str) -> Option<&mut u64>;
}

macro_rules! figures {
    ($($message:path { $($name:ident)* })*) => {
        $(impl Figures for $message {
            fn figure(&mut self, name: &str) -> Option<&mut u64> {
                match name {
                    $(stringify!($name) => Some(&mut self.$name),)*
                    _ => None,
                }
            }
        })*
    };
}

figures! {
    v1::MemoryStat {
        cache rss rss_huge mapped_file dirty writeback pg_pg_in pg_pg_out pg_fault pg_maj_fault inactive_anon active_anon
        inactive_file active_file unevictable hierarchical_memory_limit hierarchical_swap_limit total_cache total_rss
        total_rss_huge total_mapped_file total_dirty total_writeback total_pg_pg_in total_pg_pg_out total_pg_fault
        total_pg_maj_fault total_inactive_anon total_active_anon total_inactive_file total_active_file total_unevictable
    }
    v1::MemoryOomControl { oom_kill_disable under_oom oom_kill }
    v2::MemoryStat {
        anon file kernel_stack slab sock shmem file_mapped file_dirty file_writeback anon_thp inactive_anon active_anon
        inactive_file active_file unevictable slab_reclaimable slab_unreclaimable pgfault pgmajfault workingset_refault
        workingset_activate workingset_nodereclaim pgrefill pgscan pgsteal pgactivate pgdeactivate pglazyfree pglazyfreed
        thp_fault_alloc thp_collapse_alloc
    }
    v2::MemoryEvents { low high max oom oom_kill }
    v2::CPUStat { usage_usec user_usec system_usec nr_periods nr_throttled throttled_usec }
    v2::IOEntry { rbytes wbytes rios wios }
}

impl Named for v1::Metrics {
    const FULL_NAME: &'static str = "io.containerd.cgroups.v1.Metrics";
}

impl Named for v2::Metrics {
    const FULL_NAME: &'static str = "io.containerd.cgroups.v2.Metrics";
}

/// The `name value` lines of a file.
fn table(cgroup: &Cgroup, controller: &str, file: &str) -> Vec<(String, u64)> {
    let text = cgroup.read(controller, file).unwrap_or_default();
    text.lines().filter_map(|line| pair(&line.split(' ').collect::<Vec<_>>())).collect()
}

/// A file with one number; "max" is the largest, a missing file zero.
fn number(cgroup: &Cgroup, controller: &str, file: &str) -> u64 {
    let text = cgroup.read(controller, file).unwrap_or_default();
    if text.trim() == "max" { u64::MAX } else { text.trim().parse().unwrap_or(0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::events::tests::is_named;

    #[test]
    fn metrics_have_the_names_that_their_descriptions_give() {
        is_named::<v1::Metrics>();
        is_named::<v2::Metrics>();
    }

    #[test]
    fn figures_are_taken_by_name_and_unknown_or_foreign_ones_are_left() {
        let mut memory = v1::MemoryStat::new();
        let figures = [("cache", 1), ("pgfault", 2), ("total_pgmajfault", 3), ("swap", 4), ("shmem", 5)];
        let figures = figures.map(|(name, value)| legacy_name((name.to_owned(), value)));
        fill(&mut memory, &figures);
        assert_eq!((memory.cache, memory.pg_fault, memory.total_pg_maj_fault), (1, 2, 3));
        assert!(memory.swap.is_none());
    }
}
