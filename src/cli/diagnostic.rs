//! What is wrong with a policy, shown where it stands: the place, the source line, and a mark under it.

use std::fmt::Write as _;

use super::output::{BAD, PLACE, STRONG};
use portcullis_policy::Problem;

/// One problem. `shown` is the file as the reader can open it, `source` its text where it could be read.
pub fn render(problem: &Problem, shown: &str, source: Option<&str>) -> String {
    let mut text = format!("{BAD}error{BAD:#}{STRONG}: {}{STRONG:#}\n", problem.message);
    let place = match (problem.line, problem.column) {
        (0, _) => shown.to_owned(),
        (line, 0) => format!("{shown}:{line}"),
        (line, column) => format!("{shown}:{line}:{column}"),
    };
    let gutter = problem.line.to_string().len();
    let _ = writeln!(text, "{:gutter$}{PLACE}-->{PLACE:#} {place}", "");
    let index = usize::try_from(problem.line).unwrap_or_default().checked_sub(1);
    let line = index.and_then(|index| source?.lines().nth(index));
    if let Some(line) = line {
        let bar = format!("{PLACE}|{PLACE:#}");
        let _ = writeln!(text, "{:gutter$} {bar}", "");
        let _ = writeln!(text, "{PLACE}{}{PLACE:#} {bar} {}", problem.line, line.replace('\t', TAB));
        if problem.column > 0 {
            let (start, length) = mark(line, problem.column);
            let _ = writeln!(text, "{:gutter$} {bar} {:start$}{BAD}{}{BAD:#}", "", "", "^".repeat(length));
        }
    }
    text
}

/// How a tab is shown.
const TAB: &str = "    ";

/// Blanks up to the word that is meant, and a caret a character of it, one at least.
fn mark(line: &str, column: u32) -> (usize, usize) {
    let at = usize::try_from(column).unwrap_or(1).saturating_sub(1);
    let start = line.chars().take(at).map(|c| if c == '\t' { TAB.len() } else { 1 }).sum();
    let of_word = |c: &char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    (start, line.chars().skip(at).take_while(of_word).count().max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: u32, column: u32, expected: &str) {
        let problem = Problem::at("a.rego", line, column, "`input.requst` is always undefined");
        let shown = anstream::adapter::strip_str(&render(
            &problem,
            "laws/a.rego",
            Some("package a\n\tinput.requst.x == 1\n"),
        ))
        .to_string();
        assert_eq!(shown, expected);
    }

    #[test]
    fn the_mark_stands_under_the_word() {
        check(
            2,
            2,
            "error: `input.requst` is always undefined\n --> laws/a.rego:2:2\n  |\n2 |     input.requst.x == 1\n  |     ^^^^^^^^^^^^^^\n",
        );
    }

    #[test]
    fn a_line_or_a_file_as_a_whole_has_no_mark() {
        check(1, 0, "error: `input.requst` is always undefined\n --> laws/a.rego:1\n  |\n1 | package a\n");
        check(0, 0, "error: `input.requst` is always undefined\n --> laws/a.rego\n");
        check(99, 1, "error: `input.requst` is always undefined\n  --> laws/a.rego:99:1\n");
    }
}
