//! The few system calls that need `unsafe`, each behind a safe function.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::{CommandExt, parent_id};
use std::path::Path;
use std::process::Command;

use rustix::cmsg_space;
use rustix::fs::{CWD, MemfdFlags, Mode, OFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::mount::{OpenTreeFlags, open_tree};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use rustix::process::{Signal, set_parent_process_death_signal, setpriority_process};
use tokio::io::unix::AsyncFd;

/// The kernel's flag for clone3 (linux/sched.h), larger than the integer that the C library has flags in.
const CLONE_INTO_CGROUP: u64 = 1 << 33;
/// Descriptors that one message may carry (`SCM_MAX_FD`).
const MOST_FDS: usize = 253;

/// Takes over a descriptor that the parent process left open for us and named by its number.
///
/// Fails where nothing is open under that number, so that a wrong number is an error and not a foreign file closed later.
pub fn inherited_fd(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_GETFD takes no pointer; a number that is not open gives EBADF.
    if number < 0 || unsafe { libc::fcntl(number, libc::F_GETFD) } < 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: it is open, and the parent opened it for this process alone; every caller takes each number once.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    fcntl_setfd(&fd, FdFlags::CLOEXEC)?;
    Ok(fd)
}

/// Lets the next program in this process inherit the descriptor.
pub fn inherit_across_exec(fd: impl AsFd) -> io::Result<()> {
    Ok(fcntl_setfd(fd, FdFlags::empty())?)
}

/// A read-only view of a file or directory, detached from every mount table: nothing can be written through it, nor through
/// `/proc/PID/exe` or `/proc/PID/fd` of whoever holds it, and `..` of a directory leads nowhere.
pub fn detached_read_only(dir: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if path.as_os_str().is_empty() {
        flags |= OpenTreeFlags::AT_EMPTY_PATH;
    }
    let tree = open_tree(dir, path, flags)?;
    set_attributes(tree.as_fd(), libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV)?;
    Ok(tree)
}

/// A view of a regular file through which nobody can write to it, to be executed or opened again:
/// a detached read-only mount. Before Linux 5.12 there are none: it is a sealed copy in memory then.
pub fn unwritable(file: &File) -> io::Result<OwnedFd> {
    match detached_read_only(file.as_fd(), Path::new("")) {
        Err(error) if is_unsupported(&error) => sealed_copy(file),
        view => view,
    }
}

/// Opens a regular file again for reading, so that the result gives no way to write to it. A memory file, which is on no mount,
/// is sealed instead.
///
/// Opening `/proc/PID/fd/N` for writing asks the mount of the open file, whatever the file's mode
/// and the opener's capabilities, and fails with EROFS here.
pub fn reopen_read_only(file: &File) -> io::Result<File> {
    let reopen = |file: BorrowedFd<'_>| File::open(format!("/proc/self/fd/{}", file.as_raw_fd()));
    match seal(file) {
        Ok(()) => reopen(file.as_fd()),
        // A file of a file system.
        Err(_) => reopen(unwritable(file)?.as_fd()),
    }
}

/// Whether the kernel, or the sandbox around it, lacks a system call.
fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM))
}

/// Copies a file into a memory file that can never be changed again.
fn sealed_copy(file: &File) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut copy = File::from(memfd_create("copy", flags)?);
    io::copy(&mut File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))?, &mut copy)?;
    seal(&copy)?;
    Ok(copy.into())
}

/// Forbids every change of a memory file.
fn seal(file: &File) -> io::Result<()> {
    Ok(fcntl_add_seals(file, SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?)
}

/// Makes a mount read-only, and leaves what else it forbids or allows.
pub fn set_read_only(mount: BorrowedFd<'_>) -> io::Result<()> {
    set_attributes(mount, libc::MOUNT_ATTR_RDONLY)
}

/// Idmaps a mount that is attached nowhere: its files get the owners that the user namespace maps theirs to. With `recursive` the
/// mounts below it are idmapped too.
pub fn map_ids(mount: BorrowedFd<'_>, user_namespace: BorrowedFd<'_>, recursive: bool) -> io::Result<()> {
    let userns_fd = user_namespace.as_raw_fd().cast_unsigned().into();
    let attributes = libc::mount_attr { attr_set: libc::MOUNT_ATTR_IDMAP, attr_clr: 0, propagation: 0, userns_fd };
    change_mount(mount, &attributes, if recursive { libc::AT_RECURSIVE } else { 0 })
}

/// Whether the kernel has idmapped mounts (Linux 5.12), and this process may make them.
pub fn has_idmapped_mounts() -> bool {
    // The kernel looks for the user namespace only where it knows the attribute and the caller's capabilities suffice.
    const NOT_OPEN: u64 = i32::MAX as u64;
    let attributes = libc::mount_attr { attr_set: libc::MOUNT_ATTR_IDMAP, attr_clr: 0, propagation: 0, userns_fd: NOT_OPEN };
    let tried = change_mount(CWD, &attributes, 0);
    tried.is_err_and(|error| error.raw_os_error() == Some(libc::EBADF))
}

fn set_attributes(tree: BorrowedFd<'_>, attributes: u64) -> io::Result<()> {
    change_mount(tree, &libc::mount_attr { attr_set: attributes, attr_clr: 0, propagation: 0, userns_fd: 0 }, 0)
}

fn change_mount(tree: BorrowedFd<'_>, attributes: &libc::mount_attr, flags: libc::c_int) -> io::Result<()> {
    // SAFETY: the empty path and the attributes outlive the call, and the size given is theirs.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | flags,
            std::ptr::from_ref(attributes),
            size_of_val(attributes),
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Which of two processes this is.
pub enum Fork {
    /// The one there was, with the other's id.
    Parent(u32),
    /// Its copy.
    Child,
}

/// Fails where this process has more than one thread.
fn alone() -> io::Result<()> {
    // Of links, the directory of threads has two and one for each of them.
    match std::fs::metadata("/proc/self/task")?.nlink() {
        3 => Ok(()),
        _ => Err(io::Error::other("this process has threads")),
    }
}

/// Forgets the environment; fails where another thread could be reading it.
pub fn clear_environment() -> io::Result<()> {
    alone()?;
    // SAFETY: this thread is the only one.
    unsafe { libc::clearenv() };
    Ok(())
}

/// Gives this process another environment.
///
/// # Safety
/// No other thread may read or write the environment meanwhile.
pub unsafe fn replace_environment(variables: impl IntoIterator<Item = (String, String)>) {
    // SAFETY: the caller's promise; clearenv touches nothing but the environment.
    unsafe { libc::clearenv() };
    for (name, value) in variables {
        // SAFETY: the caller's promise.
        unsafe { std::env::set_var(name, value) };
    }
}

/// Gives the signals that this process was started with as ignored their default action again: programs that it executes would have
/// them ignored too. Not SIGPIPE, which Rust's own start ignores; see [`default_signals`].
pub fn default_ignored_signals() {
    for number in (1..=MAX_SIGNAL).filter(|&number| number != libc::SIGPIPE) {
        // By the system call: the C library hides the signals that it uses itself, two of which it passes on as ignored.
        let mut action = KernelAction::default();
        // SAFETY: the structures outlive the calls, and have the kernel's layout and size; a default action runs no code of ours.
        unsafe {
            let null = std::ptr::null::<KernelAction>();
            let asked = libc::syscall(libc::SYS_rt_sigaction, number, null, &raw mut action, size_of::<u64>());
            if asked == 0 && action.handler == libc::SIG_IGN {
                let default = KernelAction::default();
                libc::syscall(
                    libc::SYS_rt_sigaction,
                    number,
                    &raw const default,
                    std::ptr::null_mut::<KernelAction>(),
                    size_of::<u64>(),
                );
            }
        }
    }
}

/// The kernel's last signal.
pub const MAX_SIGNAL: i32 = 64;

/// The kernel's `struct sigaction` (asm/signal.h), of which the default is the default action.
#[repr(C)]
#[derive(Default)]
struct KernelAction {
    handler: usize,
    flags: libc::c_ulong,
    #[cfg(target_arch = "x86_64")]
    restorer: usize,
    mask: u64,
}

/// Gives this process a session keyring of its own, by this name, which further processes of the same container join. Without one,
/// all processes that root starts share the keys of one session. No error where the kernel has no keyrings, or the
/// sandbox around this process lets nobody have any.
pub fn join_session_keyring(name: &CStr) -> io::Result<()> {
    /// Search permission for processes of the keyring's user (linux/keyctl.h: KEY_USR_SEARCH): what runc gives too.
    const KEY_USR_SEARCH: u32 = 0x0008_0000;
    /// What a new session keyring has: everything for its possessor; viewing, reading and linking for its user.
    const NEW_KEYRING: u32 = 0x3f13_0000;
    const JOIN_SESSION_KEYRING: libc::c_int = 1;
    const SETPERM: libc::c_int = 5;
    // SAFETY: the name outlives the call, which reads it.
    let keyring = unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, name.as_ptr()) };
    if keyring < 0 {
        let error = io::Error::last_os_error();
        return if is_unsupported(&error) { Ok(()) } else { Err(error) };
    }
    // SAFETY: no pointer is passed.
    let result = unsafe { libc::syscall(libc::SYS_keyctl, SETPERM, keyring, NEW_KEYRING | KEY_USR_SEARCH) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Forbids that links are followed in what is mounted on this path.
pub fn forbid_links(path: &Path) -> io::Result<()> {
    let mount = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    set_attributes(mount.as_fd(), libc::MOUNT_ATTR_NOSYMFOLLOW)
}

/// Copies this process; fails where it has more than one thread, for whose locks the copy would wait in vain.
pub fn fork() -> io::Result<Fork> {
    alone()?;
    // SAFETY: this thread is the only one, and it is here, where it holds no lock.
    match unsafe { libc::fork() } {
        0 => Ok(Fork::Child),
        pid => u32::try_from(pid).map(Fork::Parent).map_err(|_| io::Error::last_os_error()),
    }
}

/// The same with a copy that does not outlive this process.
pub fn fork_dependent() -> io::Result<Fork> {
    let own = std::process::id();
    let fork = fork()?;
    if let Fork::Child = fork {
        end_with(own)?;
    }
    Ok(fork)
}

/// The same as [`fork`], with the copy in another cgroup, version 2's, from the start.
pub fn fork_into(cgroup: BorrowedFd<'_>) -> io::Result<Fork> {
    alone()?;
    // SAFETY: a structure of numbers, of which none need be other than zero.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = CLONE_INTO_CGROUP;
    args.exit_signal = libc::SIGCHLD as u64;
    args.cgroup = cgroup.as_raw_fd() as u64;
    // SAFETY: this thread is the only one, and it is here, where it holds no lock. Without a stack of its own the copy goes on where this is; the
    // structure outlives the call, and its size is given.
    match unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of_val(&args)) } {
        0 => Ok(Fork::Child),
        pid => u32::try_from(pid).map(Fork::Parent).map_err(|_| io::Error::last_os_error()),
    }
}

/// Sends a signal by number, 0 to 64, to the process behind a pidfd; ESRCH once that was reaped. Signal 0 sends nothing.
pub fn signal(process: BorrowedFd<'_>, number: u32) -> io::Result<()> {
    // SAFETY: without details of the signal, the call reads no memory.
    let result = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, process.as_raw_fd(), number, std::ptr::null::<libc::siginfo_t>(), 0)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Has the kernel end this process, a child of that one, when that one ends.
fn end_with(parent: u32) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    if parent_id() != parent {
        vanish();
    }
    Ok(())
}

/// Lets any other process have this one's processor first: nothing that is left to do here is waited for.
pub fn give_way() {
    const LAST: i32 = 19;
    let _only_faster = setpriority_process(None, LAST);
}

/// Ends this process, a copy, and leaves everything to the one it was copied from.
pub fn vanish() -> ! {
    // SAFETY: it touches no memory.
    unsafe { libc::_exit(0) }
}

/// Replaces this process by the program behind `program`; comes back only with the reason why not.
pub fn exec_fd(program: BorrowedFd<'_>, args: &[&CStr], env: &[CString]) -> io::Error {
    let mut argv: Vec<*const libc::c_char> = args.iter().map(|arg| arg.as_ptr()).collect();
    argv.push(std::ptr::null());
    let mut envp: Vec<*const libc::c_char> = env.iter().map(|variable| variable.as_ptr()).collect();
    envp.push(std::ptr::null());
    // SAFETY: both arrays end in a null pointer and point at strings that outlive the call.
    unsafe { libc::fexecve(program.as_raw_fd(), argv.as_ptr(), envp.as_ptr()) };
    io::Error::last_os_error()
}

/// Has the kernel forget each child of this process when it ends, so that none stays as a zombie. For a process that waits for no child.
pub fn ignore_ends_of_children() {
    // SAFETY: no handler is set.
    unsafe {
        libc::signal(libc::SIGCHLD, libc::SIG_IGN);
    }
}

/// Has a program begin with these descriptors as its numbers 3, 4 and so on; they are closed with the command.
pub fn pass_from_3<const COUNT: usize>(command: &mut Command, fds: [OwnedFd; COUNT]) {
    /// Above all numbers that the program gets.
    const FREE: RawFd = 16;
    let pass = move || {
        // First out of the way, because one may have the number that another is to get.
        let mut moved = [-1; COUNT];
        for (fd, moved) in fds.iter().zip(&mut moved) {
            // SAFETY: no pointer is passed.
            *moved = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, FREE) };
        }
        for (number, fd) in (3..).zip(moved) {
            // SAFETY: no pointer is passed.
            if unsafe { libc::dup2(fd, number) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: the function calls nothing but fcntl and dup2, which may be called in the child of a process with threads; what it
    // replaces there are copies of this process's descriptors.
    unsafe { command.pre_exec(pass) };
}

/// Gives the next program in this process the signals as a fresh process has them: Rust's own start ignores SIGPIPE, and that would
/// pass on to it.
pub fn default_signals() {
    // SAFETY: setting a signal to its default and clearing the mask touches no memory of ours; the set is initialised by sigemptyset.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        let mut none = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut());
    }
}

/// The highest value this process may give a limit, without the capability to raise it.
pub fn hard_limit(resource: u32) -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure outlives the call, which fills it or leaves it.
    if unsafe { libc::getrlimit(resource, &raw mut limit) } < 0 { u64::MAX } else { limit.rlim_max }
}

/// Has the kernel check and keep a program that decides on devices; its instructions are in the kernel's own encoding.
pub fn load_device_program(instructions: &[u64]) -> io::Result<OwnedFd> {
    const PROG_LOAD: libc::c_int = 5;
    const CGROUP_DEVICE: u32 = 15;
    #[repr(C)]
    struct Load {
        kind: u32,
        count: u32,
        instructions: u64,
        license: u64,
        log_level: u32,
        log_size: u32,
        log: u64,
    }
    let mut load = Load {
        kind: CGROUP_DEVICE,
        count: u32::try_from(instructions.len()).unwrap_or(u32::MAX),
        instructions: instructions.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
    };
    // SAFETY: the pointers in the structure outlive the call; the kernel reads as many instructions as it is told there are, and
    // checks them itself. What it returns is a descriptor that is ours.
    unsafe {
        let fd = libc::syscall(libc::SYS_bpf, PROG_LOAD, &raw mut load, size_of::<Load>());
        let fd = RawFd::try_from(fd).unwrap_or(-1);
        if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(OwnedFd::from_raw_fd(fd)) }
    }
}

/// Puts such a program in charge of a cgroup, beside those of the cgroups above.
pub fn attach_device_program(program: BorrowedFd<'_>, cgroup: BorrowedFd<'_>) -> io::Result<()> {
    const PROG_ATTACH: libc::c_int = 8;
    const CGROUP_DEVICE: u32 = 6;
    const ALLOW_MULTI: u32 = 2;
    #[repr(C)]
    struct Attach {
        target: u32,
        program: u32,
        kind: u32,
        flags: u32,
    }
    let (target, program) = (cgroup.as_raw_fd().cast_unsigned(), program.as_raw_fd().cast_unsigned());
    let mut attach = Attach { target, program, kind: CGROUP_DEVICE, flags: ALLOW_MULTI };
    // SAFETY: the structure outlives the call and its size is given; both descriptors are open.
    let result = unsafe { libc::syscall(libc::SYS_bpf, PROG_ATTACH, &raw mut attach, size_of::<Attach>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Receives one descriptor over a socket: how libcontainer hands over a terminal.
pub fn receive_fd(socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut fds = Vec::new();
    receive(socket, &mut [0; 64], &mut fds)?;
    fds.into_iter().next().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no descriptor came over the socket"))
}

/// Sends descriptors over a socket, which has room for them although nobody reads yet; for [`receive_fds`].
pub fn send_fds(socket: BorrowedFd<'_>, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    for fds in fds.chunks(MOST_FDS) {
        // Without a byte nothing is sent.
        send(socket, &[0], fds)?;
    }
    Ok(())
}

/// Sends bytes, and up to 253 descriptors with the first of them. Returns how many bytes were sent; for [`receive`].
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(fds));
    }
    Ok(sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?)
}

/// Receives all descriptors that are sent until the other end closes.
pub fn receive_fds(socket: BorrowedFd<'_>) -> io::Result<Vec<OwnedFd>> {
    let mut fds = Vec::new();
    // One byte at a time: what is read at once is of one message.
    while receive(socket, &mut [0], &mut fds)? > 0 {}
    Ok(fds)
}

/// Receives some bytes, and appends the descriptors that came with them. Returns how many bytes; 0 at the end.
pub fn receive(socket: BorrowedFd<'_>, bytes: &mut [u8], fds: &mut Vec<OwnedFd>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(socket, &mut [IoSliceMut::new(bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            fds.extend(received);
        }
    }
    Ok(received.bytes)
}

/// Has the runtime watch a file for room and for bytes; it must not block.
pub fn watch(file: File) -> io::Result<AsyncFd<File>> {
    // SAFETY: a `File` owns its descriptor, names the same one each time, and keeps it open until it is dropped with its watch.
    Ok(unsafe { AsyncFd::register(file) }?)
}

/// Sets the size of a terminal's window, in characters.
pub fn set_window_size(terminal: BorrowedFd<'_>, width: u16, height: u16) -> io::Result<()> {
    let size = libc::winsize { ws_row: height, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the structure outlives the call, which only reads it.
    let result = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn more_descriptors_than_one_message_carries_arrive_in_their_order() {
        let (near, far) = std::os::unix::net::UnixStream::pair().expect("a pair");
        let files: Vec<File> = (0..MOST_FDS + 2).map(|_| tempfile::tempfile().expect("a file")).collect();
        let fds: Vec<BorrowedFd<'_>> = files.iter().map(AsFd::as_fd).collect();
        send_fds(near.as_fd(), &fds).expect("sent");
        drop(near);
        let received = receive_fds(far.as_fd()).expect("received");
        let inode = |file: File| file.metadata().expect("a file").ino();
        let received: Vec<u64> = received.into_iter().map(|fd| inode(fd.into())).collect();
        assert_eq!(received, files.into_iter().map(inode).collect::<Vec<_>>());
    }

    #[test]
    fn a_file_that_was_opened_again_can_be_read_and_not_written() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "code").expect("written");
        let again = reopen_read_only(file.as_file()).expect("opened");
        assert_eq!(io::read_to_string(&again).expect("read"), "code");
        let path = format!("/proc/self/fd/{}", again.as_raw_fd());
        let written = File::options().write(true).open(path).expect_err("opened for writing");
        assert_eq!(written.kind(), io::ErrorKind::ReadOnlyFilesystem);
    }

    #[test]
    fn a_sealed_copy_has_the_files_bytes_and_takes_no_others() {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(b"code").expect("written");
        let copy = File::from(sealed_copy(file.as_file()).expect("copied"));
        let again = |how: &mut std::fs::OpenOptions| how.open(format!("/proc/self/fd/{}", copy.as_raw_fd()));
        let mut text = String::new();
        again(File::options().read(true)).and_then(|mut copy| copy.read_to_string(&mut text)).expect("read");
        assert_eq!(text, "code");
        let written = again(File::options().write(true)).and_then(|mut copy| copy.write_all(b"evil"));
        assert_eq!(written.expect_err("written").raw_os_error(), Some(libc::EPERM));
    }

    #[test]
    fn a_process_with_threads_is_not_copied_and_keeps_its_environment() {
        std::thread::scope(|scope| {
            let other = scope.spawn(std::thread::park);
            assert!(fork().is_err() && clear_environment().is_err());
            other.thread().unpark();
        });
    }
}
