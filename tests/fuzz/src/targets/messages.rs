//! The plan, and the lines of the link: what the shim's processes send each other.

use containerd_shim_spin::link::{Order, Report};
use containerd_shim_spin::plan::Plan;

use super::{assert_same, json, refused};

/// A plan that is accepted is the same once it was written and read.
pub(super) fn check_plan(input: &[u8]) -> bool {
    check(input, Plan::parse, json)
}

/// An order that is accepted is the same once it was written and read.
pub(super) fn check_order(input: &[u8]) -> bool {
    check(input, Order::parse, json)
}

/// A report that is accepted is the same once it was written and read, and takes one line.
pub(super) fn check_report(input: &[u8]) -> bool {
    check(input, Report::parse, json)
}

fn check<T>(input: &[u8], parse: fn(&[u8]) -> serde_json::Result<T>, write: fn(&T) -> Vec<u8>) -> bool {
    let message = match parse(input) {
        Ok(message) => message,
        Err(error) => return refused(&error),
    };
    let written = write(&message);
    assert!(!written.contains(&b'\n'), "it takes more than one line");
    let read = parse(&written).expect("what was written is a message");
    assert_same(&write(&read), &written);
    true
}
