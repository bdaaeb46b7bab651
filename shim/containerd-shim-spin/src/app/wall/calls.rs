//! System calls: a filter that allows what serving takes.
//!
//! docs/system-calls.md has the same names with the reasons; a test compares both.

use anyhow::Result;
use libc::{AF_INET, AF_INET6, IPPROTO_IP, IPPROTO_IPV6, IPPROTO_TCP, IPPROTO_UDP, SOCK_DGRAM, SOCK_STREAM, SOL_SOCKET};

use crate::syscalls::{SyscallFilter, argument_has, argument_is};

/// Calls with any arguments.
const ALLOWED: [&str; 72] = [
    // memory
    "brk",
    "madvise",
    "membarrier",
    "mremap",
    "munmap",
    // threads
    "exit",
    "exit_group",
    "futex",
    "getcpu",
    "getpid",
    "gettid",
    "restart_syscall",
    "rseq",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sched_getaffinity",
    "sched_yield",
    "set_robust_list",
    "sigaltstack",
    // clocks and randomness
    "clock_getres",
    "clock_gettime",
    "clock_nanosleep",
    "getrandom",
    "gettimeofday",
    "nanosleep",
    // open files
    "close",
    "epoll_create1",
    "epoll_ctl",
    "epoll_pwait",
    "epoll_wait",
    "eventfd2",
    "fadvise64",
    "fstat",
    "getdents64",
    "lseek",
    "poll",
    "ppoll",
    "pread64",
    "preadv",
    "preadv2",
    "read",
    "readv",
    "write",
    "writev",
    // names of files
    "access",
    "faccessat",
    "faccessat2",
    "fstatfs",
    "getcwd",
    "lstat",
    "newfstatat",
    "readlink",
    "readlinkat",
    "stat",
    "statx",
    // sockets
    "accept4",
    "bind",
    "connect",
    "getpeername",
    "getsockname",
    "getsockopt",
    "recvfrom",
    "recvmmsg",
    "recvmsg",
    "sendmmsg",
    "sendmsg",
    "sendto",
    "shutdown",
    // the process
    "getegid",
    "geteuid",
    "uname",
];

/// Calls of an app that keeps key-value data in files, besides.
const ALLOWED_TO_WRITE: [&str; 9] =
    ["fallocate", "fdatasync", "fsync", "ftruncate", "mkdir", "mkdirat", "pwrite64", "unlink", "unlinkat"];

/// Commands of fcntl(2): copies of descriptors, their flags, locks of a process on its files.
const FCNTL: [i32; 8] = [
    libc::F_DUPFD_CLOEXEC,
    libc::F_GETFD,
    libc::F_SETFD,
    libc::F_GETFL,
    libc::F_SETFL,
    libc::F_GETLK,
    libc::F_SETLK,
    libc::F_SETLKW,
];

/// Requests of ioctl(2): bytes that wait, non-blocking mode, whether a stream is a terminal, and which pages of memory
/// were written to (`PAGEMAP_SCAN` of linux/fs.h, with which the engine resets an instance's memory).
const IOCTL: [u64; 4] = [libc::FIONREAD, libc::FIONBIO, libc::TCGETS, 0xc060_6610];

/// Options of prctl(2): a thread's name, and the process's auxiliary vector (`PR_GET_AUXV` of linux/prctl.h).
const PRCTL: [i32; 2] = [libc::PR_SET_NAME, 0x4155_5856];

/// Options of setsockopt(2), by level.
const SOCKET_OPTIONS: [(i32, &[i32]); 4] = [
    (SOL_SOCKET, &[libc::SO_KEEPALIVE, libc::SO_LINGER, libc::SO_RCVBUF, libc::SO_REUSEADDR, libc::SO_SNDBUF]),
    (IPPROTO_TCP, &[libc::TCP_KEEPCNT, libc::TCP_KEEPIDLE, libc::TCP_KEEPINTVL, libc::TCP_NODELAY, libc::TCP_USER_TIMEOUT]),
    (IPPROTO_IP, &[libc::IP_MTU_DISCOVER, libc::IP_RECVERR, libc::IP_TTL]),
    (IPPROTO_IPV6, &[libc::IPV6_MTU_DISCOVER, libc::IPV6_RECVERR, libc::IPV6_UNICAST_HOPS, libc::IPV6_V6ONLY]),
];

/// The filter for an app whose access to files is restricted by Landlock or not, and that keeps data in files or not.
pub fn filter(has_landlock: bool, writes: bool) -> Result<SyscallFilter> {
    let mut filter = SyscallFilter::new()?;
    filter.allow(&ALLOWED)?;
    allow_memory(&mut filter)?;
    filter.allow_threads()?;
    allow_own_process(&mut filter)?;
    allow_files(&mut filter, has_landlock, writes)?;
    allow_sockets(&mut filter)?;
    Ok(filter)
}

fn allow_memory(filter: &mut SyscallFilter) -> Result<()> {
    filter.allow_memory_without_code()?;
    // The second pool of instances maps the precompiled code once more (spin-runtime's `tier`).
    let (write, execute) = (u64::from(libc::PROT_WRITE.cast_unsigned()), u64::from(libc::PROT_EXEC.cast_unsigned()));
    filter.allow_if("mprotect", &[argument_has(2, write | execute, execute)])?;
    // The engine does without it, but fails where it is not permitted.
    filter.refuse_as_missing("memfd_create")
}

fn allow_own_process(filter: &mut SyscallFilter) -> Result<()> {
    let own = u64::from(std::process::id());
    // abort(3), after a fault of the host.
    filter.allow_if("tgkill", &[argument_is(0, own)])?;
    PRCTL.iter().try_for_each(|&option| filter.allow_if("prctl", &[argument_is(0, constant(option))]))
}

fn allow_files(filter: &mut SyscallFilter, has_landlock: bool, writes: bool) -> Result<()> {
    if writes {
        filter.allow(&ALLOWED_TO_WRITE)?;
        filter.allow(&["openat"])?;
    } else {
        let writing = libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC | libc::O_APPEND;
        // Of O_TMPFILE's two bits one is O_DIRECTORY, which reading takes; a temporary file is opened for writing.
        filter.allow_if("openat", &[argument_has(2, constant(writing), constant(libc::O_RDONLY))])?;
    }
    if has_landlock {
        filter.allow(&["openat2"])?;
    } else {
        // Its flags are in memory, where a filter can't look; the engine opens files of components by `openat` then.
        filter.refuse_as_missing("openat2")?;
    }
    FCNTL.iter().try_for_each(|&command| filter.allow_if("fcntl", &[argument_is(1, constant(command))]))?;
    IOCTL.iter().try_for_each(|&request| filter.allow_if("ioctl", &[argument_is(1, request)]))
}

fn allow_sockets(filter: &mut SyscallFilter) -> Result<()> {
    for (kind, protocol) in [(SOCK_STREAM, IPPROTO_TCP), (SOCK_DGRAM, IPPROTO_UDP)] {
        for (family, protocol) in [(AF_INET, 0), (AF_INET, protocol), (AF_INET6, 0), (AF_INET6, protocol)] {
            // Its upper bits are flags: close-on-exec, non-blocking.
            let kind = argument_has(1, SOCK_TYPE_MASK, constant(kind));
            filter.allow_if("socket", &[argument_is(0, constant(family)), kind, argument_is(2, constant(protocol))])?;
        }
    }
    let options = SOCKET_OPTIONS.iter().flat_map(|(level, options)| options.iter().map(|option| (*level, *option)));
    options.into_iter().try_for_each(|(level, option)| {
        filter.allow_if("setsockopt", &[argument_is(1, constant(level)), argument_is(2, constant(option))])
    })
}

/// The bits of socket(2)'s second argument that are the kind of the socket (linux/net.h).
const SOCK_TYPE_MASK: u64 = 0xf;

/// A constant of the C library, none of which is negative, as a filter has it.
fn constant(value: i32) -> u64 {
    u64::from(value.cast_unsigned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const DOCUMENT: &str = include_str!("../../../../../docs/system-calls.md");

    /// The names in the first column of the table after this line.
    fn documented(line: &str) -> BTreeSet<&'static str> {
        let (_, after) = DOCUMENT.split_once(line).expect("the document has this line");
        let rows = after.trim_start().lines().take_while(|row| row.starts_with('|'));
        rows.filter_map(|row| row.split('|').nth(1)).flat_map(|names| names.split('`').skip(1).step_by(2)).collect()
    }

    #[test]
    fn every_allowed_call_is_documented_and_no_other() {
        let any = documented("Calls that are allowed with any arguments:\n");
        assert_eq!(any, ALLOWED.into_iter().collect());
        let to_write = documented("Calls that an app with a store in files may make besides:\n");
        assert_eq!(to_write, ALLOWED_TO_WRITE.into_iter().collect());
    }
}
