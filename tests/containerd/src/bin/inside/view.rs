//! All that the kernel says of a process, as far as a runtime decides it.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use serde_json::{Value, json};

/// Fields of `/proc/PID/status` that a runtime decides.
const STATUS: [&str; 18] = [
    "Umask",
    "Uid",
    "Gid",
    "Groups",
    "SigBlk",
    "SigIgn",
    "CapInh",
    "CapPrm",
    "CapEff",
    "CapBnd",
    "CapAmb",
    "NoNewPrivs",
    "Seccomp",
    "Seccomp_filters",
    "Speculation_Store_Bypass",
    "Cpus_allowed_list",
    "Mems_allowed_list",
    "CoreDumping",
];

/// Of a process, by its number or `self`.
pub fn of(pid: &str) -> Value {
    let proc = |name: &str| format!("/proc/{pid}/{name}");
    let text = |name: &str| fs::read_to_string(proc(name)).unwrap_or_else(|error| format!("{:?}", error.kind()));
    let link =
        |name: &str| fs::read_link(proc(name)).map_or_else(|error| format!("{:?}", error.kind()), |to| to.display().to_string());
    let status = super::status(pid);
    json!({
        "status": STATUS.iter().map(|name| (*name, status.get(*name).cloned().unwrap_or_default())).collect::<BTreeMap<_, _>>(),
        "label": text("attr/current").trim_end_matches(['\n', '\0']),
        "mounts": text("mountinfo").lines().collect::<Vec<_>>(),
        "limits": text("limits").lines().collect::<Vec<_>>(),
        "oom_score_adj": text("oom_score_adj").trim(),
        "cgroups": text("cgroup").lines().collect::<Vec<_>>(),
        "environment": text("environ").split_terminator('\0').collect::<std::collections::BTreeSet<_>>(),
        "personality": text("personality").trim(),
        "directory": link("cwd"),
        "root": link("root"),
        "namespaces": namespaces(&proc("ns")),
        "descriptors": descriptors(&proc("fd")),
        "devices": devices(),
        "of_this_process": own(),
    })
}

/// What can be asked of this process alone.
fn own() -> Value {
    // SAFETY: a structure of characters, of which none need be other than zero.
    let mut name: libc::utsname = unsafe { std::mem::zeroed() };
    // SAFETY: the structure outlives the call, which fills it.
    unsafe { libc::uname(&raw mut name) };
    // SAFETY: the kernel ends both with a zero.
    let [host, domain] = [&name.nodename, &name.domainname].map(|name| unsafe { CStr::from_ptr(name.as_ptr()) });
    // SAFETY: these calls take no pointers.
    let (session, nice, priority, scheduler) = unsafe {
        (
            libc::getsid(0) == libc::getpid(),
            libc::getpriority(libc::PRIO_PROCESS, 0),
            libc::syscall(libc::SYS_ioprio_get, 1, 0),
            libc::sched_getscheduler(0),
        )
    };
    json!({
        "host": host.to_string_lossy(), "domain": domain.to_string_lossy(), "leads_its_session": session,
        "nice": nice, "io_priority": priority, "scheduler": scheduler, "keyring": keyring(),
    })
}

/// The session's keyring: type, user, group, rights, name.
fn keyring() -> String {
    const DESCRIBE: libc::c_int = 6;
    const SESSION: libc::c_int = -3;
    let mut text = [0_u8; 256];
    // SAFETY: the kernel writes no more than the length that is given.
    let length = unsafe { libc::syscall(libc::SYS_keyctl, DESCRIBE, SESSION, text.as_mut_ptr(), text.len()) };
    match usize::try_from(length) {
        Ok(length) => String::from_utf8_lossy(&text[..length.clamp(1, text.len()) - 1]).into_owned(),
        Err(_) => io::Error::last_os_error().to_string(),
    }
}

/// Each namespace by what identifies it.
fn namespaces(directory: &str) -> BTreeMap<String, String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let link =
        |path: &Path| fs::read_link(path).map_or_else(|error| format!("{:?}", error.kind()), |to| to.display().to_string());
    entries.map(|entry| (entry.file_name().to_string_lossy().into_owned(), link(&entry.path()))).collect()
}

/// The descriptors beside the standard streams, by what they are; not the one that lists them.
fn descriptors(directory: &str) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let links = entries.filter_map(|entry| {
        let number: u32 = entry.file_name().to_str()?.parse().ok()?;
        Some((number, fs::read_link(entry.path()).ok()?.display().to_string()))
    });
    let mut links: Vec<_> =
        links.filter(|(number, link)| *number > 2 && !link.starts_with("/proc/")).map(|(_, link)| link).collect();
    links.sort();
    links
}

/// Every node below `/dev` of this container: kind, rights, owner, numbers.
fn devices() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    collect(Path::new("/dev"), &mut found);
    found
}

fn collect(directory: &Path, found: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        let kind = metadata.file_type();
        let what = match () {
            () if kind.is_symlink() => format!("link to {}", fs::read_link(&path).unwrap_or_default().display()),
            () if kind.is_dir() => "directory".to_owned(),
            () if kind.is_char_device() || kind.is_block_device() => {
                let number = metadata.rdev();
                format!("device {}:{}", libc::major(number), libc::minor(number))
            }
            () => "file".to_owned(),
        };
        // Terminals come and go.
        if !path.starts_with("/dev/pts/") {
            let (mode, user, group) = (metadata.mode() & 0o7777, metadata.uid(), metadata.gid());
            found.insert(path.display().to_string(), format!("{what} {mode:o} {user}:{group}"));
        }
        if kind.is_dir() {
            collect(&path, found);
        }
    }
}
