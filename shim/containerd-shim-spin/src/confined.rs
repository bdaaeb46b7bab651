//! Processes that handle untrusted content: they compile a component, or unpack an archive, and can do nothing else.
//!
//! A fault in a parser or in the compiler is then not a fault of the node's root. Such a process is this program again, with
//! the content on its standard input and the result on its standard output. It has no capability and a user of its own, can
//! open nothing, and has limits of memory, of processor time and of output.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::os::unix::process::{CommandExt, parent_id};
use std::process::{Child, Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use rustix::fs::{Gid, Uid};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, remove_capability_from_bounding_set, set_capabilities, set_no_new_privs, set_thread_groups,
    set_thread_res_gid, set_thread_res_uid,
};

use crate::cgroup::Cgroup;
use crate::plan::Failure;
use crate::sys;
use crate::syscalls::SyscallFilter;

/// `nobody` in most systems. It owns nothing here, and no open file is needed by name.
const USER: u32 = 65534;
/// The cgroup of all these processes of the node. A pod's own would be too small: a compiler needs more memory than most apps. It has the weight of any
/// cgroup, so that all compilers together get a fair share of a busy node's processors.
const CGROUP: &str = "/containerd-shim-spin";
/// Memory of all of them together is half of the node's, and at least this.
const MIN_CGROUP_MEMORY_BYTES: u64 = 1 << 30;
/// Bytes of a sentence on standard error.
const MAX_SENTENCE_BYTES: u64 = 16 * 1024;

/// The resources that one process may use.
pub struct Limits {
    /// Bytes of private memory.
    pub memory: u64,
    /// Seconds of processor time, all threads together.
    pub processor_seconds: u64,
    /// Bytes of a file that it writes.
    pub file: u64,
}

/// Starts this program with an argument, which says what it is to do, and the content to do it with.
pub fn spawn(verb: &str, env: (&str, &str), input: Stdio, output: Stdio) -> io::Result<Child> {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("containerd-shim-spin-v2").arg(verb).arg(std::process::id().to_string());
    command.env_clear().env(env.0, env.1);
    command.stdin(input).stdout(output).stderr(Stdio::piped()).spawn()
}

/// Waits for its end. `name` is what it is called in errors.
pub fn wait(mut child: Child, name: &str) -> Result<(), Failure> {
    let mut sentence = String::new();
    if let Some(stderr) = child.stderr.take() {
        let _garbled = stderr.take(MAX_SENTENCE_BYTES).read_to_string(&mut sentence);
    }
    let status = child.wait().map_err(Failure::internal("waiting for a confined process"))?;
    // Another process of this kind may be in it still.
    let _in_use = Cgroup::of_path(CGROUP, false).and_then(|cgroup| cgroup.remove());
    match status.code().and_then(|code| u8::try_from(code).ok()) {
        Some(0) => Ok(()),
        Some(code) if !sentence.trim().is_empty() => Err(Failure::new(code, sentence.trim())),
        _ => Err(Failure::new(
            Failure::CONTENT,
            format!(
                "{name} was ended ({status}): the content takes more memory or time than is allowed, or the node lacks memory"
            ),
        )),
    }
}

/// In that process, first: gives up everything but this work, unless the parent has ended already. Its arguments are those of [`spawn`].
pub fn main(args: &[OsString], limits: &Limits, work: impl FnOnce() -> Result<(), Failure>) -> ExitCode {
    let parent = args.first().and_then(|pid| pid.to_str()).and_then(|pid| pid.parse().ok());
    let confined = confine(limits).and_then(|()| match parent == Some(parent_id()) {
        true => load_filter(),
        false => bail!("the process that asked for this has ended"),
    });
    let result = match confined {
        Ok(()) => work(),
        Err(error) => Err(Failure::new(Failure::INTERNAL, format!("confining this process: {error:#}"))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(failure.code)
        }
    }
}

fn confine(limits: &Limits) -> Result<()> {
    // If the node runs out of memory, this is the process to end.
    let _not_allowed = fs::write("/proc/self/oom_score_adj", "1000");
    // A node may forbid that its runtime makes cgroups; the limits below hold all the same.
    if enter_cgroup().is_err() {
        sys::give_way();
    }
    let limit = |resource, most: u64| setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) });
    limit(Resource::Data, limits.memory).context("limiting memory")?;
    limit(Resource::Cpu, limits.processor_seconds).context("limiting processor time")?;
    limit(Resource::Fsize, limits.file).context("limiting output")?;
    limit(Resource::Core, 0).context("forbidding core dumps")?;
    drop_privileges()?;
    // Not before: a change of the user takes it away.
    set_parent_process_death_signal(Some(Signal::KILL)).context("ending with the parent")
}

fn enter_cgroup() -> io::Result<()> {
    let cgroup = Cgroup::of_path(CGROUP, false)?;
    cgroup.make()?;
    let file = if cgroup.is_unified() { "memory.max" } else { "memory.limit_in_bytes" };
    let node = rustix::system::sysinfo();
    let half = node.totalram.saturating_mul(u64::from(node.mem_unit)) / 2;
    match cgroup.write("memory", file, &half.max(MIN_CGROUP_MEMORY_BYTES).to_string()) {
        // This node limits no memory by cgroups.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        written => written?,
    }
    cgroup.enter()
}

/// Becomes a user without rights, and can't become another one again.
fn drop_privileges() -> Result<()> {
    for capability in CapabilitySet::all().iter() {
        match remove_capability_from_bounding_set(capability) {
            // A capability that this kernel does not know.
            Err(Errno::INVAL) => {}
            result => result.with_context(|| format!("dropping {capability:?}"))?,
        }
    }
    // This process has one thread: the user of its thread is its own.
    let (user, group) = (Uid::from_raw(USER), Gid::from_raw(USER));
    set_thread_groups(&[]).context("dropping groups")?;
    set_thread_res_gid(group, group, group).context("changing the group")?;
    set_thread_res_uid(user, user, user).context("changing the user")?;
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, none).context("dropping capabilities")?;
    set_no_new_privs(true).context("forbidding new privileges")
}

/// Allows what computing with threads needs, with the streams that are open. Everything else fails as not permitted.
fn load_filter() -> Result<()> {
    let mut filter = SyscallFilter::new()?;
    filter.allow(&ALLOWED)?;
    filter.allow_memory_without_code()?;
    filter.allow_threads()?;
    filter.load()
}

/// The system calls of a confined process, besides those with conditions.
const ALLOWED: [&str; 36] = [
    "brk",
    "clock_gettime",
    "clock_nanosleep",
    "close",
    "exit",
    "exit_group",
    "fcntl",
    "fstat",
    "futex",
    "getcpu",
    "getpid",
    "getrandom",
    "gettid",
    "lseek",
    "madvise",
    "membarrier",
    "mremap",
    "munmap",
    "nanosleep",
    "newfstatat",
    "poll",
    "ppoll",
    "read",
    "readv",
    "restart_syscall",
    "rseq",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sched_getaffinity",
    "sched_yield",
    "set_robust_list",
    "sigaltstack",
    "statx",
    "write",
    "writev",
];
