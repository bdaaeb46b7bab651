//! The sentence an app that can't run leaves, where people look for it.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use spin_runtime::output;

/// What the kubelet keeps of a termination message.
const KEPT: usize = 4096;

/// The places for it, open: a process behind its second wall opens no file to write.
pub struct LastWords {
    termination_log: Option<File>,
}

impl LastWords {
    /// With this termination log, where there is one.
    pub fn open(termination_log: &Path) -> Self {
        Self { termination_log: OpenOptions::new().append(true).open(termination_log).ok() }
    }

    /// Says it on stderr, for `kubectl logs`, and in the termination log, for `kubectl describe`.
    pub fn say(self, sentence: &str) {
        output::say(sentence);
        if let Some(mut file) = self.termination_log {
            let _full = file.write_all(beginning(sentence).as_bytes());
        }
    }
}

fn beginning(sentence: &str) -> &str {
    let end = (0..=sentence.len().min(KEPT)).rev().find(|&end| sentence.is_char_boundary(end));
    &sentence[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_termination_log_gets_the_sentence_if_it_exists() {
        let dir = tempfile::tempdir().expect("a directory");
        let log = dir.path().join("log");
        LastWords::open(&log).say("no file is made");
        assert!(!log.exists());
        std::fs::write(&log, "").expect("written");
        LastWords::open(&log).say("the port is taken");
        assert_eq!(std::fs::read_to_string(&log).expect("read"), "the port is taken");
    }

    #[test]
    fn a_long_sentence_is_cut_between_characters() {
        let cut = beginning(&"ä".repeat(3000)).to_owned();
        assert_eq!(cut.len(), 4096);
        assert_eq!(beginning(&format!("x{}", "ä".repeat(3000))).len(), 4095);
    }
}
