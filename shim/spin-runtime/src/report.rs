//! What a component's failure looks like on the container's stderr, where `kubectl logs` shows it.

use wasmtime::{Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

pub(crate) use crate::output::say;
use crate::output::say_lines;

/// Lines of a trap's backtrace that are shown, a title among them; the innermost frames tell what happened.
const LINES: usize = 13;

/// Tells of a call that was not even made.
pub(crate) fn unasked(component: &str, error: &dyn std::fmt::Display) {
    say(&format!("component \"{component}\" could not be asked: {error}"));
}

/// Tells of a failed call of a component. `out_of_memory`: it was refused memory before.
pub(crate) fn failure(component: &str, error: &wasmtime::Error, out_of_memory: bool) {
    say_lines(&describe(component, error, out_of_memory));
}

/// The lines that tell it.
fn describe(component: &str, error: &wasmtime::Error, out_of_memory: bool) -> Vec<String> {
    if let Some(I32Exit(status)) = error.downcast_ref() {
        return vec![format!("component \"{component}\" ended itself with exit status {status} instead of answering")];
    }
    let mut text = match error.downcast_ref::<Trap>() {
        Some(trap) => format!("component \"{component}\" failed: {trap}"),
        None => format!("component \"{component}\" failed: {}", causes(error)),
    };
    if out_of_memory {
        text.push_str(" (it had been refused more memory: max_instance_memory)");
    }
    let backtrace = error.downcast_ref::<WasmBacktrace>().map(ToString::to_string).unwrap_or_default();
    let (title, frames) = backtrace.split_once('\n').unwrap_or((&backtrace, ""));
    // Functions have the names that the guest gives them. A line break in one must not begin a line that looks like the host's.
    let frames = frames.lines().map(|line| if line.starts_with(' ') { line.to_owned() } else { format!("    {line}") });
    let backtrace = [title.to_owned()].into_iter().filter(|title| !title.is_empty()).chain(frames).take(LINES);
    [text].into_iter().chain(backtrace).collect()
}

/// The error and its causes, without the backtrace, which counts as one of them.
fn causes(error: &wasmtime::Error) -> String {
    let causes = error.chain().map(ToString::to_string).filter(|cause| !cause.contains("wasm backtrace"));
    causes.collect::<Vec<_>>().join(": ")
}
