//! The targets, each in a file with its properties.

mod archive;
mod hosts;
mod image;
mod locked_app;
mod manifest;
mod messages;
mod redis_reply;
mod routes;
mod template;

use std::fmt::Display;

use serde::Serialize;
use serde_json::Value;

use crate::{Limits, Target};

const KIB: usize = 1 << 10;
/// What any input may take that a reader parses in one go.
const PARSED: usize = 64 * KIB;
/// The same for archives, for which there are buffers, a decompressor and a thread.
const UNPACKED: usize = 512 * KIB;
/// The client reserves room for 4096 values of an array before it reads one, and reads arrays in arrays up to a depth of 100.
const REPLIED: usize = 24 * KIB * KIB;

/// All of them.
pub const TARGETS: [Target; 12] = [
    target("manifest", manifest::check, 2 * PARSED, 512, 100_000),
    target("locked_app", locked_app::check, PARSED, 64, 100_000),
    target("archive", archive::check, UNPACKED, 4, 4_000),
    target("archive_frames", archive::check_frames, UNPACKED, 4, 4_000),
    target("image", image::check, PARSED, 16, 100_000),
    target("routes", routes::check, PARSED, 160, 20_000),
    target("allowed_hosts", hosts::check, PARSED, 32, 100_000),
    target("template", template::check, PARSED, 64, 50_000),
    target("redis_reply", redis_reply::check, REPLIED, 64, 100_000),
    target("plan", messages::check_plan, PARSED, 64, 100_000),
    target("order", messages::check_order, PARSED, 64, 100_000),
    target("report", messages::check_report, PARSED, 16, 100_000),
];

const fn target(name: &'static str, check: fn(&[u8]) -> bool, base: usize, per_byte: usize, mutations: u32) -> Target {
    Target { name, check, limits: Limits { base, per_byte }, mutations }
}

/// Writes what was read.
fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("what was read can be written")
}

/// An input was refused, with a sentence that says why. Returns false.
fn refused(error: &impl Display) -> bool {
    assert!(!error.to_string().is_empty(), "it is refused without a reason");
    false
}

/// Fails where two JSON texts say different things.
fn assert_same(one: &[u8], other: &[u8]) {
    let read = |json: &[u8]| serde_json::from_slice::<Value>(json).expect("it was written as JSON");
    let (read_one, read_other) = (read(one), read(other));
    assert!(
        is_same(&read_one, &read_other),
        "it changes when it is written and read: {} and {}",
        String::from_utf8_lossy(one),
        String::from_utf8_lossy(other)
    );
}

/// serde_json may read the last digit of a long floating-point number otherwise than it is written.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len() && one.iter().all(|(key, value)| other.get(key).is_some_and(|other| is_same(value, other)))
        }
        (Value::Number(one), Value::Number(other)) if one.is_f64() => {
            let (one, other) = (one.as_f64().unwrap_or(f64::NAN), other.as_f64().unwrap_or(f64::NAN));
            (one - other).abs() <= one.abs() * 1e-15
        }
        _ => one == other,
    }
}
