//! Files: Landlock, as far as the kernel has it.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context, Result};
use landlock::{
    ABI, Access, AccessFs, AddRuleError, AddRulesError, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetError, RulesetStatus, Scope, make_bitflags,
};
use spin_runtime::Paths;

/// Files that libraries read: the sources of randomness, what the C library looks up the names of hosts by, and the process's
/// auxiliary vector, which rustix gets by a system call since Linux 6.4.
const LIBRARIES: [&str; 10] = [
    "/dev/random",
    "/dev/urandom",
    "/etc/gai.conf",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/protocols",
    "/etc/resolv.conf",
    "/etc/services",
    "/proc/self/auxv",
];
/// The version of Landlock whose rights are all denied unless a rule gives them. An older kernel denies those that it knows.
const LANDLOCK: ABI = ABI::V10;

/// Lets this process open only these files and what lies in these directories, and send signals and connect by abstract sockets
/// only to itself. Threads that exist already are not restricted. Returns whether the kernel has Landlock, and the pod's own
/// filter lets the process use it.
pub fn restrict(paths: &Paths) -> Result<bool> {
    let read = make_bitflags!(AccessFs::{ReadFile | ReadDir});
    let write = read | make_bitflags!(AccessFs::{WriteFile | Truncate | MakeReg | MakeDir | RemoveFile});
    let mut rules = Ruleset::default().handle_access(AccessFs::from_all(LANDLOCK))?.scope(Scope::from_all(LANDLOCK))?.create()?;
    for path in LIBRARIES.iter().map(Path::new).chain(paths.read.iter().map(AsRef::as_ref)) {
        allow(&mut rules, path, read)?;
    }
    for directory in &paths.write {
        // If it can't be made, opening the store says why.
        let _is_there = fs::create_dir_all(directory);
        allow(&mut rules, directory, write)?;
    }
    let status = rules.restrict_self().context("restricting this thread")?;
    Ok(status.ruleset != RulesetStatus::NotEnforced)
}

/// Adds a rule for a file or a directory, unless there is none.
fn allow(rules: impl RulesetCreatedAttr, path: &Path, access: BitFlags<AccessFs>) -> Result<()> {
    let Ok(file) = PathFd::new(path) else { return Ok(()) };
    match rules.add_rule(PathBeneath::new(file, access)).map(drop) {
        // A memory file, which no rule can name, and which may be opened by its descriptor in any case.
        Err(RulesetError::AddRules(AddRulesError::Fs(AddRuleError::AddRuleCall { source, .. }))) if is_memory_file(&source) => {
            Ok(())
        }
        result => result.with_context(|| format!("allowing {}", path.display())),
    }
}

fn is_memory_file(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EBADFD)
}
