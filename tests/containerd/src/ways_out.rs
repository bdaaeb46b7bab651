//! Ways out of a container's process that native code could try, each as a few system calls.

use std::mem::offset_of;

use libc::{AT_FDCWD, c_long};

use crate::hijack::{Hijacked, int};

/// What is around the process: names and numbers as it sees them.
pub struct Surroundings {
    /// Another process in the same container.
    pub other: i32,
    /// The name of an abstract socket that a process outside listens on, in the same network namespace.
    pub abstract_socket: String,
}

/// The result of the last call, or the number of the first error.
type Outcome = Result<u64, i32>;
/// Name, attempt, and the error that it ends with behind the wall: `EPERM` from the filter of system calls, `EACCES` from
/// Landlock, `ENOSYS` from the filter for calls whose callers do without them.
pub type WayOut = (&'static str, fn(&mut Hijacked, &Surroundings) -> Outcome, i32);

/// `/node` is a directory of the node, writable, with a file `secret`, containerd's socket and the node's cgroups and
/// cache below it.
pub const WAYS_OUT: &[WayOut] = &[
    // files
    ("read a file of the node", |p, _| open(p, "/node/secret", libc::O_RDONLY), libc::EACCES),
    ("write a file of the node", |p, _| open(p, "/node/secret", libc::O_WRONLY), libc::EPERM),
    ("list a directory of the node", |p, _| open(p, "/node", libc::O_RDONLY | libc::O_DIRECTORY), libc::EACCES),
    ("read the app's own image", |p, _| open(p, "/spin.toml", libc::O_RDONLY), libc::EACCES),
    ("make a file in the container", |p, _| open(p, "/made", libc::O_CREAT | libc::O_WRONLY), libc::EPERM),
    ("make a file without a name", |p, _| open(p, "/node", libc::O_TMPFILE | libc::O_RDWR), libc::EPERM),
    ("make a file by openat2", |p, _| openat2(p, "/node/made2", libc::O_CREAT | libc::O_RDWR), libc::EACCES),
    ("read a file through /proc", |p, _| open(p, "/proc/self/root/node/secret", libc::O_RDONLY), libc::EACCES),
    ("read the seal's key in the node's cache", |p, _| open(p, "/node/cache/key", libc::O_RDONLY), libc::EACCES),
    ("read a cgroup", |p, _| open(p, "/node/cgroup/cgroup.procs", libc::O_RDONLY), libc::EACCES),
    ("leave the cgroup", |p, _| open(p, "/node/cgroup/cgroup.procs", libc::O_WRONLY), libc::EPERM),
    ("set the kernel's program for cores", |p, _| open(p, "/proc/sys/kernel/core_pattern", libc::O_WRONLY), libc::EPERM),
    ("have the kernel drop its caches", |p, _| open(p, "/proc/sys/vm/drop_caches", libc::O_WRONLY), libc::EPERM),
    ("empty a file", |p, _| at(p, libc::SYS_truncate, None, "/node/secret", &[0]), libc::EPERM),
    ("remove a file", |p, _| at(p, libc::SYS_unlinkat, Some(AT_FDCWD), "/node/removed", &[0]), libc::EPERM),
    ("make a directory", |p, _| at(p, libc::SYS_mkdirat, Some(AT_FDCWD), "/node/directory", &[0o755]), libc::EPERM),
    ("make a device", |p, _| at(p, libc::SYS_mknodat, Some(AT_FDCWD), "/node/device", &[S_IFCHR, NULL_DEVICE]), libc::EPERM),
    ("change a file's mode", |p, _| at(p, libc::SYS_fchmodat, Some(AT_FDCWD), "/node/secret", &[0o777]), libc::EPERM),
    ("change a file's owner", |p, _| at(p, libc::SYS_fchownat, Some(AT_FDCWD), "/node/secret", &[1, 1, 0]), libc::EPERM),
    ("make a link", |p, _| two_names(p, libc::SYS_linkat, "/node/secret", "/node/link"), libc::EPERM),
    ("make a symbolic link", symlink, libc::EPERM),
    ("rename a file", |p, _| two_names(p, libc::SYS_renameat2, "/node/renamed", "/node/renamed2"), libc::EPERM),
    ("set an attribute of a file", set_attribute, libc::EPERM),
    ("name a file by its handle", handle, libc::EPERM),
    ("make a file in memory", |p, _| at(p, libc::SYS_memfd_create, None, "memory", &[0]), libc::ENOSYS),
    // processes
    ("start a process", |p, _| p.call(libc::SYS_clone, [int(libc::SIGCHLD), 0, 0, 0, 0]), libc::EPERM),
    ("start a process by clone3", clone3, libc::ENOSYS),
    ("see another process", |p, s| open(p, &format!("/proc/{}/environ", s.other), libc::O_RDONLY), libc::EACCES),
    ("reach another process's root", |p, s| open(p, &format!("/proc/{}/root/inside", s.other), libc::O_RDONLY), libc::EACCES),
    ("trace a process", |p, s| p.call(libc::SYS_ptrace, [u64::from(libc::PTRACE_SEIZE), pid(s), 0, 0]), libc::EPERM),
    ("read a process's memory", |p, s| p.call(libc::SYS_process_vm_readv, [pid(s), 0, 0, 0, 0, 0]), libc::EPERM),
    ("write a process's memory", |p, s| p.call(libc::SYS_process_vm_writev, [pid(s), 0, 0, 0, 0, 0]), libc::EPERM),
    ("signal a process", |p, s| p.call(libc::SYS_kill, [pid(s), int(libc::SIGCONT)]), libc::EPERM),
    ("signal a thread", |p, s| p.call(libc::SYS_tgkill, [pid(s), pid(s), int(libc::SIGCONT)]), libc::EPERM),
    ("have the kernel signal a process", |p, s| p.call(libc::SYS_fcntl, [1, int(libc::F_SETOWN), pid(s)]), libc::EPERM),
    ("get a handle of a process", |p, s| p.call(libc::SYS_pidfd_open, [pid(s), 0]), libc::EPERM),
    ("limit a process", |p, s| p.call(libc::SYS_prlimit64, [pid(s), u64::from(libc::RLIMIT_CORE), 0, 0]), libc::EPERM),
    ("compare processes", |p, s| p.call(libc::SYS_kcmp, [pid(s), pid(s), 0, 0, 0]), libc::EPERM),
    ("slow a process down", |p, s| p.call(libc::SYS_setpriority, [0, pid(s), 10]), libc::EPERM),
    // sockets
    ("connect to containerd", |p, _| connect(p, b"/node/containerd/sock\0"), libc::EPERM),
    ("connect to an abstract socket", |p, s| connect(p, format!("\0{}", s.abstract_socket).as_bytes()), libc::EPERM),
    ("make a pair of local sockets", pair, libc::EPERM),
    ("configure the network", |p, _| socket(p, libc::AF_NETLINK, libc::SOCK_RAW, 0), libc::EPERM),
    ("send raw packets", |p, _| socket(p, libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP), libc::EPERM),
    ("read the network's packets", |p, _| socket(p, libc::AF_PACKET, libc::SOCK_RAW, 0), libc::EPERM),
    ("be a server", listen, libc::EPERM),
    ("choose the network's device", bind_to_device, libc::EPERM),
    // namespaces and mounts
    (
        "have users of its own",
        |p, _| p.call(libc::SYS_clone, [int(libc::CLONE_NEWUSER | libc::SIGCHLD), 0, 0, 0, 0]),
        libc::EPERM,
    ),
    ("have a host name of its own", |p, _| p.call(libc::SYS_unshare, [int(libc::CLONE_NEWUTS)]), libc::EPERM),
    ("join a namespace", join, libc::EPERM),
    ("mount a file system", mount, libc::EPERM),
    ("unmount one", |p, _| at(p, libc::SYS_umount2, None, "/node/cache", &[int(libc::MNT_DETACH)]), libc::EPERM),
    ("open a file system", |p, _| at(p, libc::SYS_fsopen, None, "tmpfs", &[0]), libc::EPERM),
    (
        "copy a mount",
        |p, _| at(p, libc::SYS_open_tree, Some(AT_FDCWD), "/node", &[u64::from(libc::OPEN_TREE_CLONE)]),
        libc::EPERM,
    ),
    ("change the root", |p, _| at(p, libc::SYS_chroot, None, "/", &[]), libc::EPERM),
    // the kernel
    ("load a program into the kernel", bpf, libc::EPERM),
    ("count events of the processor", perf, libc::EPERM),
    ("call the kernel by a ring", io_uring, libc::EPERM),
    ("handle page faults", |p, _| p.call(libc::SYS_userfaultfd, [int(libc::O_CLOEXEC)]), libc::EPERM),
    ("add a key", add_key, libc::EPERM),
    ("see the session's keys", |p, _| p.call(libc::SYS_keyctl, [0, int(SESSION_KEYRING), 1]), libc::EPERM),
    ("watch files", |p, _| p.call(libc::SYS_fanotify_init, [0, 0]), libc::EPERM),
    ("read the kernel's log", |p, _| p.call(libc::SYS_syslog, [SYSLOG_SIZE, 0, 0]), libc::EPERM),
    ("set the host's name", |p, _| at(p, libc::SYS_sethostname, None, "name", &[]), libc::EPERM),
    ("share memory", |p, _| p.call(libc::SYS_shmget, [0, 4096, int(libc::IPC_CREAT | 0o600)]), libc::EPERM),
    ("have a queue of messages", |p, _| p.call(libc::SYS_msgget, [0, int(libc::IPC_CREAT | 0o600)]), libc::EPERM),
    ("become another user", |p, _| p.call(libc::SYS_setresuid, [0, 0, 0]), libc::EPERM),
    ("change what is shown of it", |p, _| p.call(libc::SYS_prctl, [int(libc::PR_SET_DUMPABLE), 1, 0, 0, 0]), libc::EPERM),
    ("map memory to write and to execute", map_code, libc::EPERM),
    // Last, because they replace the program where they succeed.
    ("execute a program", |p, _| execute(p, libc::SYS_execve), libc::EPERM),
    ("execute a program by execveat", |p, _| execute(p, libc::SYS_execveat), libc::EPERM),
];

const S_IFCHR: u64 = libc::S_IFCHR as u64 | 0o600;
/// The numbers 1 and 3, as mknod(2) takes them.
const NULL_DEVICE: u64 = 1 << 8 | 3;
/// linux/keyctl.h: KEY_SPEC_SESSION_KEYRING.
const SESSION_KEYRING: i32 = -3;
/// sys/klog.h: SYSLOG_ACTION_SIZE_BUFFER.
const SYSLOG_SIZE: u64 = 10;

fn pid(surroundings: &Surroundings) -> u64 {
    int(surroundings.other)
}

fn open(process: &mut Hijacked, path: &str, flags: i32) -> Outcome {
    let path = process.text(path);
    process.call(libc::SYS_openat, [int(AT_FDCWD), path, int(flags), 0o600])
}

fn openat2(process: &mut Hijacked, path: &str, flags: i32) -> Outcome {
    let (path, how) = (process.text(path), process.words(&[int(flags), 0o600, 0]));
    process.call(libc::SYS_openat2, [int(AT_FDCWD), path, how, 24])
}

/// A call with a path, after a directory's descriptor where it takes one.
fn at(process: &mut Hijacked, number: c_long, directory: Option<i32>, path: &str, rest: &[u64]) -> Outcome {
    let path = process.text(path);
    let mut arguments = [0; 6];
    let all = directory.map(int).into_iter().chain([path]).chain(rest.iter().copied());
    arguments.iter_mut().zip(all).for_each(|(argument, value)| *argument = value);
    process.call(number, arguments)
}

fn two_names(process: &mut Hijacked, number: c_long, from: &str, to: &str) -> Outcome {
    let (from, to) = (process.text(from), process.text(to));
    process.call(number, [int(AT_FDCWD), from, int(AT_FDCWD), to, 0])
}

fn symlink(process: &mut Hijacked, _: &Surroundings) -> Outcome {
    let (to, link) = (process.text("/etc"), process.text("/node/symbolic"));
    process.call(libc::SYS_symlinkat, [to, int(AT_FDCWD), link])
}

fn set_attribute(process: &mut Hijacked, _: &Surroundings) -> Outcome {
    let (path, name, value) = (process.text("/node/secret"), process.text("trusted.way"), process.text("out"));
    process.call(libc::SYS_setxattr, [path, name, value, 3, 0])
}

fn handle(process: &mut Hijacked, _: &Surroundings) -> Outcome {
    const HANDLE_BYTES: u64 = 128;
    let (path, handle) = (process.text("/node/secret"), process.words(&[HANDLE_BYTES; 18]));
    let mount = process.words(&[0]);
    process.call(libc::SYS_name_to_handle_at, [int(AT_FDCWD), path, handle, mount, 0])
}

fn clone3(process: &mut Hijacked, _: &Surroundings) -> Outcome {
    let mut arguments = [0; 11];
    arguments[offset_of!(libc::clone_args, exit_signal) / 8] = int(libc::SIGCHLD);
    let at = process.words(&arguments);
    process.call(libc::SYS_clone3, [at, 88])
}

fn socket(process: &mut Hijacked, family: i32, kind: i32, protocol: i32) -> Outcome {
    process.call(libc::SYS_socket, [int(family), int(kind | libc::SOCK_CLOEXEC), int(protocol)])
}

fn connect(process: &mut Hijacked, name: &[u8]) -> Outcome {
    let socket = socket(process, libc::AF_UNIX, libc::SOCK_STREAM, 0)?;
    let address = [&(libc::AF_UNIX as u16).to_ne_bytes(), name].concat();
    let at = process.bytes(&address);
    process.call(libc::SYS_connect, [socket, at, address.len() as u64])
}

fn pair(process: &mut Hijacked, _: &Surroundings) -> Outcome {
    let pair = process.words(&[0]);
    process.call(libc::SYS_socketpair, [int(libc::AF_UNIX), int(libc::SOCK_STREAM), 0, pair])
}

fn listen(process: &mut Hijacked, _: &Surroundings) -> Outcome {
    // Without an address, the kernel chooses a port.
    let socket = socket(process, libc::AF_INET, libc::SOCK_STREAM, 0)?;
    process.call(libc::SYS_listen, [socket, 1])
}

fn bind_to_device(process: &mut Hijacked, _: &Surroundings) -> Outcome {
    let socket = socket(process, libc::AF_INET, libc::SOCK_DGRAM, 0)?;
    let name = process.text("lo");
    process.call(libc::SYS_setsockopt, [socket, int(libc::SOL_SOCKET), int(libc::SO_BINDTODEVICE), name, 3])
}

fn join(process: &mut Hijacked, _: &Surroundings) -> Outcome {
    let namespace = open(process, "/proc/self/ns/uts", libc::O_RDONLY)?;
    process.call(libc::SYS_setns, [namespace, int(libc::CLONE_NEWUTS)])
}

fn mount(process: &mut Hijacked, _: &Surroundings) -> Outcome {
    let (kind, target) = (process.text("tmpfs"), process.text("/dev/shm"));
    process.call(libc::SYS_mount, [kind, target, kind, 0, 0])
}

fn bpf(process: &mut Hijacked, _: &Surroundings) -> Outcome {
    const MAP_CREATE: u64 = 0;
    const ARRAY_OF_FOUR_BYTES: u64 = 2 | 4 << 32;
    let attributes = process.words(&[ARRAY_OF_FOUR_BYTES, 4 | 1 << 32, 0, 0, 0, 0, 0, 0, 0]);
    process.call(libc::SYS_bpf, [MAP_CREATE, attributes, 72])
}

fn perf(process: &mut Hijacked, _: &Surroundings) -> Outcome {
    const SOFTWARE: u64 = 1;
    const ATTRIBUTE_BYTES: u64 = 64;
    let attributes = process.words(&[SOFTWARE | ATTRIBUTE_BYTES << 32, 0, 0, 0, 0, 0, 0, 0]);
    process.call(libc::SYS_perf_event_open, [attributes, 0, int(-1), int(-1), 0])
}

fn io_uring(process: &mut Hijacked, _: &Surroundings) -> Outcome {
    let parameters = process.words(&[0; 16]);
    process.call(libc::SYS_io_uring_setup, [1, parameters])
}

fn add_key(process: &mut Hijacked, _: &Surroundings) -> Outcome {
    let (kind, name, value) = (process.text("user"), process.text("way"), process.text("out"));
    process.call(libc::SYS_add_key, [kind, name, value, 3, int(SESSION_KEYRING)])
}

fn map_code(process: &mut Hijacked, _: &Surroundings) -> Outcome {
    let access = int(libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC);
    process.call(libc::SYS_mmap, [0, 4096, access, int(libc::MAP_PRIVATE | libc::MAP_ANONYMOUS), int(-1), 0])
}

fn execute(process: &mut Hijacked, number: c_long) -> Outcome {
    let (path, argument) = (process.text("/inside"), process.text("sleep"));
    let arguments = process.words(&[path, argument, 0]);
    match number {
        libc::SYS_execve => process.call(number, [path, arguments, 0]),
        _ => process.call(number, [int(AT_FDCWD), path, arguments, 0, 0]),
    }
}
