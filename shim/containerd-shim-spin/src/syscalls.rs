//! Filters of system calls (seccomp). A filter is a list of the calls that a process may make; the kernel refuses all others
//! with `EPERM`. It does not end the process, so that a new C library or kernel can't make a call fatal.

use anyhow::{Context, Result};
use libseccomp::{ScmpAction, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall};

/// The bits of an argument that the kernel reads as a C `int`.
const INT_BITS: u64 = 0xffff_ffff;
/// The flags of clone(2) that give the new task namespaces of its own (linux/sched.h), `CLONE_NEWTIME` among them.
const CLONE_NAMESPACES: u64 = 0x7e02_0080;
/// libseccomp's level of optimisation that sorts the calls into a tree: the kernel searches it faster than a list.
const BINARY_TREE: u32 = 2;

/// A filter that is not loaded yet.
pub struct SyscallFilter(ScmpFilterContext);

/// A condition on the argument with this index.
pub fn argument_is(index: u32, value: u64) -> ScmpArgCompare {
    ScmpArgCompare::new(index, ScmpCompareOp::MaskedEqual(INT_BITS), value)
}

/// The condition that an argument has, of the bits in `mask`, exactly those of `value`.
pub fn argument_has(index: u32, mask: u64, value: u64) -> ScmpArgCompare {
    ScmpArgCompare::new(index, ScmpCompareOp::MaskedEqual(mask), value)
}

impl SyscallFilter {
    /// Allows nothing.
    pub fn new() -> Result<Self> {
        let refused = ScmpAction::Errno(libc::EPERM);
        let mut filter = ScmpFilterContext::new(refused)?;
        // Calls of 32-bit programs, which have other numbers.
        filter.set_act_badarch(refused)?;
        filter.set_ctl_optimize(BINARY_TREE)?;
        Ok(Self(filter))
    }

    /// Allows these calls with any arguments.
    pub fn allow(&mut self, names: &[&str]) -> Result<()> {
        for name in names {
            // A name that this architecture does not have is none of its calls.
            if let Ok(call) = ScmpSyscall::from_name(name) {
                self.0.add_rule(ScmpAction::Allow, call)?;
            }
        }
        Ok(())
    }

    /// Allows a call where all these conditions hold, besides those of other rules for the same call.
    pub fn allow_if(&mut self, name: &str, conditions: &[ScmpArgCompare]) -> Result<()> {
        let call = ScmpSyscall::from_name(name)?;
        self.0.add_rule_conditional(ScmpAction::Allow, call, conditions)?;
        Ok(())
    }

    /// Refuses a call as one that the kernel does not have (`ENOSYS`), for callers that do without it then.
    pub fn refuse_as_missing(&mut self, name: &str) -> Result<()> {
        self.0.add_rule(ScmpAction::Errno(libc::ENOSYS), ScmpSyscall::from_name(name)?)?;
        Ok(())
    }

    /// Allows to map memory, and to change its protection, unless it becomes executable.
    pub fn allow_memory_without_code(&mut self) -> Result<()> {
        let executable = u64::from(libc::PROT_EXEC.cast_unsigned());
        ["mmap", "mprotect"].iter().try_for_each(|name| self.allow_if(name, &[argument_has(2, executable, 0)]))
    }

    /// Allows to make threads, but no processes and no namespaces.
    pub fn allow_threads(&mut self) -> Result<()> {
        let thread = u64::from(libc::CLONE_THREAD.cast_unsigned());
        self.allow_if("clone", &[argument_has(0, thread | CLONE_NAMESPACES, thread)])?;
        // Its flags are in memory, where a filter can't look; the C library uses `clone` then.
        self.refuse_as_missing("clone3")
    }

    /// Loads it for this thread and those that it makes.
    pub fn load(&self) -> Result<()> {
        self.0.load().context("loading the seccomp filter")
    }

    /// Loads it for all threads of this process.
    pub fn load_for_all_threads(&mut self) -> Result<()> {
        self.0.set_ctl_tsync(true).context("the system call seccomp")?;
        // Without this, kernels before 5.16 turn speculative store bypass off for each process with a filter, which
        // costs several percent. The engine's code has its own guards against speculation.
        let _unknown_before_4_17 = self.0.set_ctl_ssb(true);
        self.load()
    }
}
