//! Which devices a container may use. In cgroup version 2 a small program of the kernel's own machine decides, and libcontainer as we build it brings
//! none; version 1 has files for it.

use std::fmt;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::Path;

use anyhow::{Context, Result};
use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};

use crate::cgroup::Cgroup;
use crate::sys;

/// The kernel's numbers (linux/bpf.h).
const BLOCK: i32 = 1;
const CHARACTER: i32 = 2;
const MKNOD: i32 = 1;
const READ: i32 = 2;
const WRITE: i32 = 4;
const ANY_ACCESS: i32 = MKNOD | READ | WRITE;
/// A spec's letters for them.
const LETTERS: [(char, i32); 3] = [('r', READ), ('w', WRITE), ('m', MKNOD)];

/// What every container has: null, zero, full, tty, random, urandom, pseudo-terminals; and making nodes, which gives no access.
const ALWAYS: [Rule; 11] = [
    Rule::allow(CHARACTER, None, None, MKNOD),
    Rule::allow(BLOCK, None, None, MKNOD),
    Rule::allow(CHARACTER, Some(1), Some(3), ANY_ACCESS),
    Rule::allow(CHARACTER, Some(1), Some(5), ANY_ACCESS),
    Rule::allow(CHARACTER, Some(1), Some(7), ANY_ACCESS),
    Rule::allow(CHARACTER, Some(1), Some(8), ANY_ACCESS),
    Rule::allow(CHARACTER, Some(1), Some(9), ANY_ACCESS),
    Rule::allow(CHARACTER, Some(5), Some(0), ANY_ACCESS),
    Rule::allow(CHARACTER, Some(5), Some(1), ANY_ACCESS),
    Rule::allow(CHARACTER, Some(5), Some(2), ANY_ACCESS),
    Rule::allow(CHARACTER, Some(136), None, ANY_ACCESS),
];

/// One kind of device, or all of it where a number is missing.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Rule {
    allow: bool,
    kind: i32,
    major: Option<i32>,
    minor: Option<i32>,
    access: i32,
}

impl Rule {
    const fn allow(kind: i32, major: Option<i32>, minor: Option<i32>, access: i32) -> Self {
        Self { allow: true, kind, major, minor, access }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |number: Option<i32>| number.map_or_else(|| "*".to_owned(), |number| number.to_string());
        let letters: String = LETTERS.iter().filter(|(_, bit)| self.access & bit != 0).map(|(letter, _)| *letter).collect();
        let kind = if self.kind == BLOCK { 'b' } else { 'c' };
        write!(to, "{kind} {}:{} {letters}", number(self.major), number(self.minor))
    }
}

/// All rules: the last that fits decides, else the default.
#[derive(Debug, Default, PartialEq)]
struct Policy {
    rules: Vec<Rule>,
    default: bool,
}

/// Restricts the processes of this cgroup to the devices that a spec's rules allow.
pub fn restrict(cgroup: &Cgroup, rules: &[LinuxDeviceCgroup]) -> Result<()> {
    match cgroup.unified_dir() {
        Some(dir) => attach(dir, &Policy::new(rules)),
        None => cgroup.dir("devices").map_or(Ok(()), |dir| write(dir, rules)),
    }
}

fn attach(dir: &Path, policy: &Policy) -> Result<()> {
    if policy.default && policy.rules.iter().all(|rule| rule.allow) {
        return Ok(());
    }
    let program = sys::load_device_program(&policy.program()).context("loading the device program")?;
    let dir = File::open(dir).with_context(|| format!("opening {}", dir.display()))?;
    sys::attach_device_program(program.as_fd(), dir.as_fd()).context("attaching the device program")
}

/// Version 1 takes one rule at a time, in the words of the spec.
fn write(dir: &Path, rules: &[LinuxDeviceCgroup]) -> Result<()> {
    let rules = rules.iter().map(|rule| (rule.allow(), rule.to_string()));
    for (allow, rule) in rules.chain(ALWAYS.iter().map(|rule| (rule.allow, rule.to_string()))) {
        let file = dir.join(if allow { "devices.allow" } else { "devices.deny" });
        fs::write(&file, &rule).with_context(|| format!("writing {rule:?} to {}", file.display()))?;
    }
    Ok(())
}

impl Policy {
    fn new(rules: &[LinuxDeviceCgroup]) -> Self {
        let mut policy = Self::default();
        rules.iter().for_each(|rule| policy.add(rule));
        ALWAYS.iter().for_each(|rule| policy.add_rule(*rule));
        policy
    }

    fn add(&mut self, rule: &LinuxDeviceCgroup) {
        let kinds: &[i32] = match rule.typ().unwrap_or_default() {
            LinuxDeviceType::B => &[BLOCK],
            LinuxDeviceType::C | LinuxDeviceType::U => &[CHARACTER],
            LinuxDeviceType::P => &[],
            LinuxDeviceType::A => {
                // As version 1 has it: a rule for all devices starts anew.
                *self = Self { rules: Vec::new(), default: rule.allow() };
                return;
            }
        };
        let number = |number: Option<i64>| number.and_then(|number| i32::try_from(number).ok()).filter(|&number| number >= 0);
        let letters = rule.access().clone().unwrap_or_else(|| "rwm".to_owned());
        let access = LETTERS.iter().filter(|(letter, _)| letters.contains(*letter)).map(|(_, bit)| bit).sum();
        for &kind in kinds {
            self.add_rule(Rule { allow: rule.allow(), kind, major: number(rule.major()), minor: number(rule.minor()), access });
        }
    }

    /// Rights to one device that come in several rules count together.
    fn add_rule(&mut self, mut rule: Rule) {
        let same =
            |other: &Rule| (other.allow, other.kind, other.major, other.minor) == (rule.allow, rule.kind, rule.major, rule.minor);
        if let Some(at) = self.rules.iter().position(same) {
            rule.access |= self.rules.remove(at).access;
        }
        self.rules.push(rule);
    }

    fn program(&self) -> Vec<u64> {
        let mut program = vec![load(2, 0), copy(3, 2), and(2, 0xffff), shift_right(3, 16), load(4, 4), load(5, 8)];
        for rule in self.rules.iter().rev() {
            program.extend(rule.instructions());
        }
        program.extend([set(0, i32::from(self.default)), exit()]);
        program
    }
}

impl Rule {
    /// Register 2 holds the kind, 3 the access asked for, 4 and 5 the numbers; every jump leads past this rule.
    fn instructions(&self) -> Vec<u64> {
        let mut tests: Vec<fn(i16, &Self) -> u64> = vec![|past, rule| jump_unless_equal(2, rule.kind, past)];
        if self.major.is_some() {
            tests.push(|past, rule| jump_unless_equal(4, rule.major.unwrap_or_default(), past));
        }
        if self.minor.is_some() {
            tests.push(|past, rule| jump_unless_equal(5, rule.minor.unwrap_or_default(), past));
        }
        if self.access != ANY_ACCESS {
            tests.push(|_, _| copy(1, 3));
            tests.push(|_, rule| and(1, rule.access));
            // Allowed is what asks for nothing more; forbidden, what asks for any of it.
            tests.push(if self.allow { |past, _| jump_unless_same(1, 3, past) } else { |past, _| jump_if_zero(1, past) });
        }
        // Two more instructions end the rule.
        let length = tests.len() + 2;
        let offset = |at: usize| i16::try_from(length - at - 1).unwrap_or(i16::MAX);
        let mut code: Vec<u64> = tests.iter().enumerate().map(|(at, test)| test(offset(at), self)).collect();
        code.extend([set(0, i32::from(self.allow)), exit()]);
        code
    }
}

fn instruction(code: u8, to: u8, from: u8, offset: i16, value: i32) -> u64 {
    let [low, high] = offset.to_le_bytes();
    let [a, b, c, d] = value.to_le_bytes();
    u64::from_le_bytes([code, from << 4 | to, low, high, a, b, c, d])
}

fn load(to: u8, offset: i16) -> u64 {
    instruction(0x61, to, 1, offset, 0)
}

fn copy(to: u8, from: u8) -> u64 {
    instruction(0xbc, to, from, 0, 0)
}

fn and(to: u8, value: i32) -> u64 {
    instruction(0x54, to, 0, 0, value)
}

fn shift_right(to: u8, bits: i32) -> u64 {
    instruction(0x74, to, 0, 0, bits)
}

fn set(to: u8, value: i32) -> u64 {
    instruction(0xb4, to, 0, 0, value)
}

fn jump_unless_equal(register: u8, value: i32, past: i16) -> u64 {
    instruction(0x55, register, 0, past, value)
}

fn jump_unless_same(one: u8, other: u8, past: i16) -> u64 {
    instruction(0x5d, one, other, past, 0)
}

fn jump_if_zero(register: u8, past: i16) -> u64 {
    instruction(0x15, register, 0, past, 0)
}

fn exit() -> u64 {
    instruction(0x95, 0, 0, 0, 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::LinuxDeviceCgroupBuilder;
    use std::collections::BTreeMap;

    /// The kernel's machine, as far as the programs here use it.
    fn allows(policy: &Policy, kind: i32, access: i32, major: i64, minor: i64) -> bool {
        let (program, mut registers, mut at) = (policy.program(), [0i64; 6], 0usize);
        let context = BTreeMap::from([(0, i64::from(access << 16 | kind)), (4, major), (8, minor)]);
        loop {
            let [code, who, low, high, value @ ..] = program[at].to_le_bytes();
            let (to, from) = (usize::from(who & 15), usize::from(who >> 4));
            let (offset, value) = (i16::from_le_bytes([low, high]), i64::from(i32::from_le_bytes(value)));
            let jump = match code {
                0x61 => {
                    registers[to] = context[&offset];
                    false
                }
                0xbc => {
                    registers[to] = registers[from];
                    false
                }
                0x54 => {
                    registers[to] &= value;
                    false
                }
                0x74 => {
                    registers[to] >>= value;
                    false
                }
                0xb4 => {
                    registers[to] = value;
                    false
                }
                0x55 => registers[to] != value,
                0x5d => registers[to] != registers[from],
                0x15 => registers[to] == value,
                0x95 => return registers[0] == 1,
                other => panic!("no such instruction: {other:#x}"),
            };
            at += 1 + if jump { usize::try_from(offset).expect("forward") } else { 0 };
        }
    }

    fn rule(allow: bool, kind: LinuxDeviceType, numbers: Option<(i64, i64)>, access: &str) -> LinuxDeviceCgroup {
        let builder = LinuxDeviceCgroupBuilder::default().allow(allow).typ(kind).access(access);
        match numbers {
            Some((major, minor)) => builder.major(major).minor(minor).build().expect("a rule"),
            None => builder.build().expect("a rule"),
        }
    }

    #[test]
    fn a_container_has_its_usual_devices_and_no_disk() {
        let policy = Policy::new(&[rule(false, LinuxDeviceType::A, None, "rwm")]);
        assert!(allows(&policy, CHARACTER, READ | WRITE, 1, 3), "/dev/null");
        assert!(allows(&policy, CHARACTER, READ | WRITE, 136, 7), "a pseudo-terminal");
        assert!(allows(&policy, BLOCK, MKNOD, 8, 0), "making a node");
        assert!(!allows(&policy, BLOCK, READ, 8, 0), "reading a disk");
        assert!(!allows(&policy, CHARACTER, READ, 1, 1), "/dev/mem");
    }

    #[test]
    fn later_rules_win_and_rights_to_one_device_add_up() {
        let policy = Policy::new(&[
            rule(false, LinuxDeviceType::A, None, "rwm"),
            rule(true, LinuxDeviceType::B, Some((8, 0)), "r"),
            rule(true, LinuxDeviceType::B, Some((8, 0)), "w"),
            rule(true, LinuxDeviceType::C, Some((10, 229)), "rw"),
            rule(false, LinuxDeviceType::C, Some((10, 229)), "w"),
        ]);
        assert!(allows(&policy, BLOCK, READ | WRITE, 8, 0));
        assert!(!allows(&policy, BLOCK, READ, 8, 1));
        assert!(allows(&policy, CHARACTER, READ, 10, 229));
        assert!(!allows(&policy, CHARACTER, READ | WRITE, 10, 229));
    }

    #[test]
    fn version_1_gets_the_rules_in_the_words_of_a_spec() {
        assert_eq!(ALWAYS.map(|rule| rule.to_string())[1..3], ["b *:* m", "c 1:3 rwm"]);
        let dir = tempfile::tempdir().expect("a directory");
        write(dir.path(), &[rule(false, LinuxDeviceType::A, None, "rwm")]).expect("written");
        let last = |file: &str| std::fs::read_to_string(dir.path().join(file)).expect("a rule");
        assert_eq!((last("devices.deny").as_str(), last("devices.allow").as_str()), ("a *:* rwm", "c 136:* rwm"));
    }

    #[test]
    fn a_privileged_container_needs_no_program() {
        assert!(Policy::new(&[rule(true, LinuxDeviceType::A, None, "rwm")]).default);
        assert!(attach(Path::new("/nowhere"), &Policy::new(&[rule(true, LinuxDeviceType::A, None, "rwm")])).is_ok());
    }
}
