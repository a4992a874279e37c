//! What the commands print: styles, tables, JSON, notes, and policy problems with their source line.

use std::fmt::{Display, Write as _};
use std::io::Write as _;

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table, presets};

use portcullis_policy::Problem;

pub const STRONG: Style = Style::new().bold();
pub const FAINT: Style = Style::new().dimmed();
pub const GOOD: Style = AnsiColor::Green.on_default().bold();
pub const BAD: Style = AnsiColor::Red.on_default().bold();
pub const CARE: Style = AnsiColor::Yellow.on_default().bold();
pub const PLACE: Style = AnsiColor::Cyan.on_default();

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Colour {
    /// On a terminal, unless `NO_COLOR` is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl Colour {
    pub fn choose(self) {
        let choice = match self {
            Self::Auto => anstream::ColorChoice::Auto,
            Self::Always => anstream::ColorChoice::Always,
            Self::Never => anstream::ColorChoice::Never,
        };
        choice.write_global();
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum TextOrJson {
    /// Text for people
    #[default]
    Text,
    /// One JSON document
    Json,
}

/// Fails with a broken pipe when the reader is gone; that error ends the command quietly.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Buffered standard output for reports that are written piece by piece; the caller flushes it.
pub fn stream() -> impl std::io::Write {
    std::io::BufWriter::with_capacity(64 * 1024, anstream::stdout())
}

pub fn print_json(document: &impl serde::Serialize) -> anyhow::Result<()> {
    print(&format!("{}\n", serde_json::to_string_pretty(document)?))
}

/// Standard error, so that a program that reads standard output never parses a note.
pub fn note(text: impl Display) {
    say(&format!("{FAINT}note: {text}{FAINT:#}\n"));
}

pub fn error(text: &str) {
    say(&format!("{BAD}error:{BAD:#} {text}\n"));
}

/// A closed standard error cannot be reported anywhere.
pub fn say(text: &str) {
    let _ = anstream::stderr().lock().write_all(text.as_bytes());
}

/// A table without lines: columns are two spaces apart, readable for people and `awk`.
pub fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header.iter().map(|title| title.to_uppercase()));
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

pub fn lines(table: &Table) -> String {
    table.lines().fold(String::new(), |text, line| text + line.trim_end() + "\n")
}

/// `1 test`, `2 tests`, `2 policies`.
pub fn count(number: usize, thing: &str) -> String {
    if number == 1 {
        return format!("1 {thing}");
    }
    match thing.strip_suffix('y') {
        Some(stem) => format!("{number} {stem}ies"),
        None => format!("{number} {thing}s"),
    }
}

/// `shown` is the path that the user can open, `source` the text of the file if it is readable.
pub fn problem(problem: &Problem, shown: &str, source: Option<&str>) -> String {
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

const TAB: &str = "    ";

/// The column of the reported word and its length in characters, at least one.
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
        let reported = Problem::at("a.rego", line, column, "`input.requst` is always undefined");
        let shown = anstream::adapter::strip_str(&problem(
            &reported,
            "policies/a.rego",
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
            "error: `input.requst` is always undefined\n --> policies/a.rego:2:2\n  |\n2 |     input.requst.x == 1\n  |     ^^^^^^^^^^^^^^\n",
        );
    }

    #[test]
    fn a_line_or_a_file_as_a_whole_has_no_mark() {
        check(
            1,
            0,
            "error: `input.requst` is always undefined\n --> policies/a.rego:1\n  |\n1 | package a\n",
        );
        check(0, 0, "error: `input.requst` is always undefined\n --> policies/a.rego\n");
        check(99, 1, "error: `input.requst` is always undefined\n  --> policies/a.rego:99:1\n");
    }
}
