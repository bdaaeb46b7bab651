//! One target under libFuzzer, whose `main` this program has; the variable `FUZZ_TARGET` names it.

#![no_main]

use std::sync::OnceLock;

use fuzz::Target;

static TARGET: OnceLock<&Target> = OnceLock::new();

/// libFuzzer calls it with each input; a panic ends the process, and libFuzzer keeps the input.
// SAFETY: nothing else has this name, which libFuzzer fixes.
#[unsafe(no_mangle)]
extern "C" fn LLVMFuzzerTestOneInput(data: *const u8, size: usize) -> i32 {
    // SAFETY: libFuzzer gives a buffer of that size, which it does not change meanwhile; of an empty one the address means nothing.
    let input = if size == 0 { &[] } else { unsafe { std::slice::from_raw_parts(data, size) } };
    let _accepted = TARGET.get_or_init(named_target).run(input);
    0
}

fn named_target() -> &'static Target {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    Target::named(&name).unwrap_or_else(|| panic!("FUZZ_TARGET is {name:?}, which is no target"))
}
