//! Text that others have written, on its way into a log or to a terminal.

use std::borrow::Cow;

/// The text on one line. Control characters other than the tabulator, and line separators, are written as Rust writes them (`\\n`, `\\u{1b}`), so that no
/// text can begin another line or give a terminal an order.
pub fn one_line(text: &str) -> Cow<'_, str> {
    let breaks = |character: char| match character {
        '\t' => false,
        '\u{2028}' | '\u{2029}' => true,
        other => other.is_control(),
    };
    if !text.contains(breaks) {
        return Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match breaks(character) {
            true => line.extend(character.escape_default()),
            false => line.push(character),
        }
    }
    Cow::Owned(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_begin_a_line_or_move_a_cursor_is_escaped_and_the_rest_stays() {
        assert_eq!(one_line("a\nb\r\tc\u{1b}[2J\u{85}\u{2028}"), "a\\nb\\r\tc\\u{1b}[2J\\u{85}\\u{2028}");
        assert!(matches!(one_line("Käse \"quoted\" \\n 🍕"), Cow::Borrowed("Käse \"quoted\" \\n 🍕")));
    }
}
