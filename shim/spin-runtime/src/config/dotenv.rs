//! Files of `NAME=value` lines.

use std::collections::BTreeMap;

/// Reads them: `export` in front, quotes around the value and comments are allowed; a line that is none of it is passed over.
pub(super) fn parse(text: &str) -> BTreeMap<String, String> {
    text.lines().filter_map(line).collect()
}

fn line(line: &str) -> Option<(String, String)> {
    let line = line.trim();
    let (name, value) = line.strip_prefix("export ").unwrap_or(line).split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    if name.is_empty() || name.starts_with('#') {
        return None;
    }
    Some((name.to_owned(), unquoted(value).to_owned()))
}

fn unquoted(value: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some((inside, _)) = value.strip_prefix(quote).and_then(|rest| rest.split_once(quote)) {
            return inside;
        }
    }
    value.split_once(" #").map_or(value, |(value, _)| value.trim_end())
}

#[cfg(test)]
mod tests {
    #[test]
    fn lines_of_all_usual_forms_are_read() {
        let text = "# comment\n\nA=1\nexport B = two words # said\nC=\"a # b\"\nD='x=y'\nnonsense\n=empty\nE=";
        let pairs: Vec<_> = super::parse(text).into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(pairs, ["A=1", "B=two words", "C=a # b", "D=x=y", "E="]);
    }
}
