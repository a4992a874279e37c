//! How deep brackets are nested, before the engine's parser sees them: it takes twice as long for each level of a list,
//! set or object that stands in another, a minute at twenty.

use crate::policy::bundle::Module;
use crate::policy::problem::Problem;

/// Levels of `[` and `{`. A CronJob in the input of a test needs fifteen.
const MAX: usize = 16;

/// What a character stands in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum In {
    Code,
    Comment,
    /// `"…"`, and whether a backslash stands before the character.
    Text(bool),
    /// `` `…` ``, which knows no escapes.
    Raw,
}

/// That brackets are nested at most [`MAX`] deep.
///
/// # Errors
/// The bracket that is one too many.
pub fn check(module: &Module) -> Result<(), Problem> {
    let (mut within, mut depth, mut line, mut column) = (In::Code, 0_usize, 1, 0);
    for letter in module.text.chars() {
        column += 1;
        within = match (within, letter) {
            (In::Comment, '\n') | (In::Text(false), '"') | (In::Raw, '`') => In::Code,
            (In::Text(escaped), _) => In::Text(!escaped && letter == '\\'),
            (In::Code, '#') => In::Comment,
            (In::Code, '"') => In::Text(false),
            (In::Code, '`') => In::Raw,
            (same, _) => same,
        };
        match letter {
            '\n' => (line, column) = (line + 1, 0),
            '[' | '{' if within == In::Code => depth += 1,
            ']' | '}' if within == In::Code => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX {
            let message =
                format!("brackets are nested more than {MAX} deep; give an inner part a name of its own");
            return Err(Problem::at(&module.path, line, column, message));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: String, expected: Option<&str>) {
        let module = Module { path: "p.rego".to_owned(), text };
        let said = super::check(&module).err().map(|problem| problem.to_string());
        assert_eq!(said.as_deref(), expected, "{}", module.text);
    }

    #[test]
    fn brackets_are_counted_where_they_are_code() {
        let deep = |open: &str, count: usize| format!("package p\nx := {}", open.repeat(count));
        let refused = |place| {
            format!(
                "p.rego:2:{place}: brackets are nested more than 16 deep; give an inner part a name of its own"
            )
        };
        check(deep("[", 16), None);
        check(deep("[", 17), Some(&refused(22)));
        check(deep("[{", 9), Some(&refused(22)));
        check(deep("[]{}", 40), None);
        for text in [
            "# [[[[[[[[[[[[[[[[[[[[",
            "x := \"[[[[[[[[[[[[[[[[\\\"[[[[\"",
            "x := `[[[[[[[[[[[[[[[\\`",
            "]]]] [[[[[[[[[[[[[[[[",
        ] {
            check(format!("package p\n{text}\n"), None);
        }
        // What comes after a comment or a text is code again.
        check(
            deep("# [\n\"[\"\n`[`\n[", 17),
            Some("p.rego:53:1: brackets are nested more than 16 deep; give an inner part a name of its own"),
        );
    }
}
