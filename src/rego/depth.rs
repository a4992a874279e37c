//! How deep brackets are nested and how long expressions are, before the engine's parser sees them: it takes twice as long
//! for each level of a list, set or object that stands in another, a minute at twenty, and a stack ends at a thousand
//! operators in a row.

use crate::module::Module;
use crate::problem::Problem;

/// Levels of `[` and `{`. A CronJob in the input of a test needs fifteen.
const MAX: usize = 16;

/// Operators, dots and brackets of one expression. `a + b.c[0]` has three.
const LINKS_MAX: usize = 256;

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
    let mut links = Links::default();
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
        links.see(letter, within);
        if links.count > LINKS_MAX {
            let message = format!(
                "an expression of more than {LINKS_MAX} operators and steps; give a part of it a name of its own, or go over a list"
            );
            return Err(Problem::at(&module.path, line, column, message));
        }
    }
    Ok(())
}

/// The links of the expression that is read.
#[derive(Default)]
struct Links {
    count: usize,
    /// A line has ended behind what could be the end of an expression.
    ended: bool,
    last: char,
}

impl Links {
    fn see(&mut self, letter: char, within: In) {
        let operator = |letter| "+-*/%|&<>=!".contains(letter);
        match letter {
            '\n' if within != In::Raw => self.ended = !operator(self.last) && !"([{,".contains(self.last),
            _ if within != In::Code || letter.is_whitespace() => return,
            ',' | ';' | ':' => self.count = 0,
            _ => {
                if std::mem::take(&mut self.ended) && !operator(letter) && letter != '[' {
                    self.count = 0;
                }
                self.count += usize::from(operator(letter) || letter == '.' || letter == '[');
            }
        }
        if !letter.is_whitespace() {
            self.last = letter;
        }
    }
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
    fn an_expression_has_so_many_operators() {
        let refused = |line: &str| {
            format!(
                "p.rego:{line}: an expression of more than 256 operators and steps; give a part of it a name of its own, or go over a list"
            )
        };
        for (chain, place) in [("1 +\n", "257:3"), ("(1)\n- ", "258:1"), ("{1}|\n", "257:4"), ("a.", "2:517")]
        {
            let text = |count: usize| format!("package p\nx := {}1\n", chain.repeat(count));
            check(text(250), None);
            check(text(257), Some(&refused(place)));
        }
        // Elements, statements and texts begin anew.
        check(format!("package p\nx := [{}1]\n", "1 + 1, ".repeat(2000)), None);
        check(format!("package p\nx if {{\n{}}}\n", "input.a == 1\n".repeat(2000)), None);
        check(format!("package p\nx := \"{}\"\n", "+".repeat(2000)), None);
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
