//! Text with variables.

use spin_app::template::Template;

use super::refused;

/// A template that is accepted is the same once it was written and read, and resolves to its own text where variables stand for themselves.
pub(super) fn check(input: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(input) else { return false };
    let template = match Template::parse(text) {
        Ok(template) => template,
        Err(error) => return refused(&error),
    };
    let written = template.to_string();
    assert_eq!(Template::parse(&written).expect("what was written is a template"), template);
    let resolved = template.resolve(&mut |name| Ok::<_, ()>(format!("{{{{ {name} }}}}"))).expect("each variable has a value");
    assert_eq!(resolved, written);
    if template.is_literal() {
        assert_eq!(written, text);
    }
    true
}
