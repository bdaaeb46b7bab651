//! What a process sees inside a container, as JSON: tests put this program into images and run it there.
//!
//! | arguments | output |
//! |---|---|
//! | `descriptors PID` | the directories and files that a process has open, and whether they lead out or can be written |
//! | `status` | `/proc/1/status` and that of this process, by field |
//! | `look PID FILE` | nothing; writes all that the kernel says of a process, `self` or by number, into a file |
//! | `look-and-sleep FILE` | the same for this process, which then waits until it is killed |
//! | `keep FILE` | nothing; writes its standard input into a file |
//! | `orphan` | nothing; leaves a process behind, which ends once it has no parent but the container's first process |
//! | `sleep` | nothing; waits until it is killed |

mod view;

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::parent_id;
use std::path::Path;
use std::process::ExitCode;

use serde_json::{Value, json};

/// Deeper than any directory that a test makes.
const LEVELS: usize = 64;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let output = match args[..] {
        ["descriptors", pid] => descriptors(pid),
        ["status"] => json!({ "init": status("1"), "own": status("self") }),
        ["look", pid, file] => return written(&view::of(pid), file),
        ["look-and-sleep", file] => {
            written(&view::of("self"), file);
            sleep()
        }
        ["keep", file] => {
            let input = io::read_to_string(io::stdin()).expect("there is an input");
            return if fs::write(file, input).is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        }
        ["orphan"] => return leave_orphan(),
        ["until-orphaned"] => {
            while parent_id() != 1 {
                std::thread::yield_now();
            }
            return ExitCode::SUCCESS;
        }
        ["sleep"] => sleep(),
        _ => {
            eprintln!(
                "usage: inside descriptors PID | status | look PID FILE | look-and-sleep FILE | keep FILE | orphan | sleep"
            );
            return ExitCode::FAILURE;
        }
    };
    println!("{output}");
    ExitCode::SUCCESS
}

fn leave_orphan() -> ExitCode {
    let own = std::env::current_exe().expect("the program has a path");
    match std::process::Command::new(own).arg("until-orphaned").spawn() {
        Ok(_orphan) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn sleep() -> ! {
    loop {
        std::thread::park();
    }
}

/// Writes into a file that is there, whole.
fn written(view: &Value, file: &str) -> ExitCode {
    // Under another name first: whoever waits for it reads it at once.
    let unfinished = format!("{file}.new");
    let result = fs::write(&unfinished, view.to_string()).and_then(|()| fs::rename(&unfinished, file));
    if let Err(error) = &result {
        eprintln!("{file}: {error}");
    }
    if result.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Every descriptor of a process that is a directory or a file, but for those of procfs, which are the process's own.
fn descriptors(pid: &str) -> Value {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).expect("its descriptors can be listed");
    entries.filter_map(|entry| descriptor(&entry.expect("listed").path())).collect()
}

fn descriptor(path: &Path) -> Option<Value> {
    let (link, metadata) = (fs::read_link(path).ok()?, fs::metadata(path).ok()?);
    if link.starts_with("/proc") || !(metadata.is_dir() || metadata.is_file()) {
        return None;
    }
    let (opened, created) = match metadata.is_dir() {
        true => ("a directory".to_owned(), outcome(File::create(path.join("made-inside")))),
        false => (outcome(OpenOptions::new().append(true).open(path)), "no directory".to_owned()),
    };
    Some(json!({
        "path": path, "link": link, "directory": metadata.is_dir(),
        "opened_for_writing": opened, "created_in_it": created, "leads_out": metadata.is_dir() && leads_out(path, &metadata),
    }))
}

/// Whether going up from a directory ends anywhere but in itself, or in the root of this container.
fn leads_out(path: &Path, directory: &Metadata) -> bool {
    let top = fs::metadata(path.join("../".repeat(LEVELS))).expect("there is always something above");
    let root = fs::metadata("/").expect("there is a root");
    let is = |other: &Metadata| (top.dev(), top.ino()) == (other.dev(), other.ino());
    !is(directory) && !is(&root)
}

fn outcome<T>(result: io::Result<T>) -> String {
    match result {
        Ok(_) => "done".to_owned(),
        Err(error) => error.raw_os_error().map_or(error.to_string(), errno),
    }
}

fn errno(number: i32) -> String {
    match number {
        libc::EROFS => "EROFS".to_owned(),
        libc::EACCES => "EACCES".to_owned(),
        libc::EPERM => "EPERM".to_owned(),
        other => other.to_string(),
    }
}

fn status(pid: &str) -> BTreeMap<String, String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("a status");
    let fields = text.lines().filter_map(|line| line.split_once(":\t"));
    fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
