//! A thread of another process, made to run system calls in the place of its own code: what native code could do there.

use std::ffi::c_long;
use std::fs;
use std::io;

use harness::wait::holds;
use harness::wait_for;

/// The kernel's registers of a thread.
type Registers = libc::user_regs_struct;
/// The set of general registers (linux/elf.h).
const NT_PRSTATUS: usize = 1;
/// Memory for the arguments of a call.
const SCRATCH_BYTES: u64 = 64 << 10;

/// The instruction that makes a system call.
#[cfg(target_arch = "x86_64")]
const INSTRUCTION: &[u8] = &[0x0f, 0x05];
#[cfg(target_arch = "aarch64")]
const INSTRUCTION: &[u8] = &[0x01, 0x00, 0x00, 0xd4];

/// A stopped thread, which goes on where it was when the value is dropped.
pub struct Hijacked {
    thread: i32,
    saved: Registers,
    /// The address of an instruction that makes a system call.
    gate: u64,
    /// The address of memory for arguments, and how much of it is used.
    scratch: u64,
    used: u64,
    is_replaced: bool,
}

/// The threads of a process.
pub fn threads(pid: i32) -> Vec<i32> {
    let entries = fs::read_dir(format!("/proc/{pid}/task")).expect("it runs").flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().parse().expect("a number")).collect()
}

impl Hijacked {
    /// Stops a thread, once it waits for something in a system call.
    pub fn new(thread: i32) -> Self {
        let waits = || fs::read_to_string(format!("/proc/{thread}/stat")).is_ok_and(|stat| stat.contains(") S "));
        wait_for("the thread to wait", 10, || holds(waits()));
        ptrace(libc::PTRACE_SEIZE, thread, 0, 0).expect("seized");
        ptrace(libc::PTRACE_INTERRUPT, thread, 0, 0).expect("interrupted");
        wait_for_stop(thread);
        let saved = registers(thread);
        let at = instruction_pointer(&saved);
        // The thread has just returned from a call, or is to make it again.
        let gate = [at - INSTRUCTION.len() as u64, at].into_iter().find(|at| read(thread, *at) == INSTRUCTION);
        let mut hijacked =
            Self { thread, saved, gate: gate.expect("it was in a system call"), scratch: 0, used: 0, is_replaced: false };
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        let scratch = hijacked.call(libc::SYS_mmap, [0, SCRATCH_BYTES, int(access), int(kind), int(-1), 0]);
        hijacked.scratch = scratch.expect("memory can be mapped");
        hijacked
    }

    /// Makes a system call; its result, or its error number.
    pub fn call<const COUNT: usize>(&mut self, number: c_long, arguments: [u64; COUNT]) -> Result<u64, i32> {
        let mut all = [0; 6];
        all[..COUNT].copy_from_slice(&arguments);
        let mut registers = self.saved;
        prepare(&mut registers, self.gate, number, all);
        set_registers(self.thread, &registers);
        // Another signal may come first, and is not for this code.
        loop {
            ptrace(libc::PTRACE_SINGLESTEP, self.thread, 0, 0).expect("goes on");
            if wait_for_stop(self.thread) == libc::SIGTRAP {
                break;
            }
        }
        let result = result(&self::registers(self.thread));
        self.used = 0;
        self.is_replaced |= result == 0 && (number == libc::SYS_execve || number == libc::SYS_execveat);
        if (-4095..0).contains(&result) { Err(i32::try_from(-result).unwrap_or(i32::MAX)) } else { Ok(result.cast_unsigned()) }
    }

    /// Puts bytes into its memory, for the next call; their address there.
    pub fn bytes(&mut self, bytes: &[u8]) -> u64 {
        let at = self.scratch + self.used;
        write(self.thread, at, bytes);
        self.used += (bytes.len() as u64).next_multiple_of(16);
        at
    }

    /// The same with a text and a zero after it.
    pub fn text(&mut self, text: &str) -> u64 {
        self.bytes(&[text.as_bytes(), &[0]].concat())
    }

    /// The same with numbers of 64 bits.
    pub fn words(&mut self, words: &[u64]) -> u64 {
        self.bytes(&words.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<_>>())
    }
}

impl Drop for Hijacked {
    fn drop(&mut self) {
        if !self.is_replaced {
            let _unmapped = self.call(libc::SYS_munmap, [self.scratch, SCRATCH_BYTES]);
            set_registers(self.thread, &self.saved);
        }
        let _ended = ptrace(libc::PTRACE_DETACH, self.thread, 0, 0);
    }
}

/// An `int` as a system call takes it.
pub fn int(value: i32) -> u64 {
    u64::from(value.cast_unsigned())
}

#[cfg(target_arch = "x86_64")]
fn prepare(registers: &mut Registers, gate: u64, number: c_long, arguments: [u64; 6]) {
    // The number of the call that was interrupted, which is not to be made again now.
    registers.orig_rax = u64::MAX;
    (registers.rip, registers.rax) = (gate, number.cast_unsigned());
    [registers.rdi, registers.rsi, registers.rdx, registers.r10, registers.r8, registers.r9] = arguments;
}

#[cfg(target_arch = "x86_64")]
fn instruction_pointer(registers: &Registers) -> u64 {
    registers.rip
}

#[cfg(target_arch = "x86_64")]
fn result(registers: &Registers) -> i64 {
    registers.rax.cast_signed()
}

#[cfg(target_arch = "aarch64")]
fn prepare(registers: &mut Registers, gate: u64, number: c_long, arguments: [u64; 6]) {
    (registers.pc, registers.regs[8]) = (gate, number.cast_unsigned());
    registers.regs[..6].copy_from_slice(&arguments);
}

#[cfg(target_arch = "aarch64")]
fn instruction_pointer(registers: &Registers) -> u64 {
    registers.pc
}

#[cfg(target_arch = "aarch64")]
fn result(registers: &Registers) -> i64 {
    registers.regs[0].cast_signed()
}

fn ptrace(request: libc::c_uint, thread: i32, address: usize, data: usize) -> io::Result<()> {
    // SAFETY: the requests here take numbers, or the address of a value that outlives the call.
    if unsafe { libc::ptrace(request, thread, address, data) } < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Waits until a thread stops; by which signal.
fn wait_for_stop(thread: i32) -> i32 {
    let mut status = 0;
    // SAFETY: the status outlives the call.
    let waited = unsafe { libc::waitpid(thread, &raw mut status, libc::__WALL) };
    assert!(waited == thread && libc::WIFSTOPPED(status), "the thread ended: {status:x}");
    libc::WSTOPSIG(status)
}

fn registers(thread: i32) -> Registers {
    // SAFETY: a structure of numbers, of which none need be other than zero.
    let mut registers: Registers = unsafe { std::mem::zeroed() };
    let vector = libc::iovec { iov_base: (&raw mut registers).cast(), iov_len: size_of::<Registers>() };
    ptrace(libc::PTRACE_GETREGSET, thread, NT_PRSTATUS, &raw const vector as usize).expect("registers");
    registers
}

fn set_registers(thread: i32, registers: &Registers) {
    let vector = libc::iovec { iov_base: (&raw const *registers).cast_mut().cast(), iov_len: size_of::<Registers>() };
    ptrace(libc::PTRACE_SETREGSET, thread, NT_PRSTATUS, &raw const vector as usize).expect("registers");
}

fn read(thread: i32, address: u64) -> Vec<u8> {
    let mut bytes = vec![0; INSTRUCTION.len()];
    transfer(libc::process_vm_readv, thread, bytes.as_mut_ptr(), bytes.len(), address);
    bytes
}

fn write(thread: i32, address: u64, bytes: &[u8]) {
    assert!(transfer(libc::process_vm_writev, thread, bytes.as_ptr().cast_mut(), bytes.len(), address), "not written");
}

type Transfer = unsafe extern "C" fn(
    libc::pid_t,
    *const libc::iovec,
    libc::c_ulong,
    *const libc::iovec,
    libc::c_ulong,
    libc::c_ulong,
) -> isize;

/// Whether all bytes were copied.
fn transfer(call: Transfer, thread: i32, local: *mut u8, length: usize, address: u64) -> bool {
    let local = libc::iovec { iov_base: local.cast(), iov_len: length };
    let remote = libc::iovec { iov_base: address as *mut libc::c_void, iov_len: length };
    // SAFETY: the local bytes outlive the call; the kernel checks the remote address.
    unsafe { call(thread, &raw const local, 1, &raw const remote, 1, 0) == length.cast_signed() }
}
