//! The kept inputs and words of a target, files beside this crate's sources.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::Target;

/// One input, named by its file.
pub struct Input {
    /// Tells what the input is.
    pub name: String,
    /// The input.
    pub bytes: Vec<u8>,
}

/// The inputs of a target, by name.
pub fn inputs(target: &Target) -> io::Result<Vec<Input>> {
    let mut inputs = Vec::new();
    for entry in fs::read_dir(directory("corpus").join(target.name))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        inputs.push(Input { name, bytes: fs::read(path)? });
    }
    inputs.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(inputs)
}

/// The words that its inputs are made of; libFuzzer reads the same file. A line is a word in quotes, or a comment.
pub fn words(target: &Target) -> io::Result<Vec<Vec<u8>>> {
    let text = fs::read_to_string(directory("dictionaries").join(target.name).with_extension("dict"))?;
    let quoted = text.lines().filter_map(|line| line.strip_prefix('"')?.strip_suffix('"'));
    Ok(quoted.map(unescape).collect())
}

/// A directory of this crate.
pub fn directory(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// In libFuzzer's files a backslash stands before a quote, a backslash, or `x` and two hexadecimal digits.
fn unescape(word: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), word);
    while let Some((before, after)) = rest.split_once('\\') {
        bytes.extend(before.bytes());
        let hex = after.strip_prefix('x').and_then(|after| Some((u8::from_str_radix(after.get(..2)?, 16).ok()?, &after[2..])));
        let (byte, after) = hex.unwrap_or_else(|| (after.bytes().next().unwrap_or(b'\\'), after.get(1..).unwrap_or_default()));
        bytes.push(byte);
        rest = after;
    }
    bytes.extend(rest.bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_those_of_libfuzzer() {
        assert_eq!(unescape(r#"a\"b\\c\x0d\x0A"#), b"a\"b\\c\r\n");
        assert_eq!(unescape("plain"), b"plain");
    }
}
