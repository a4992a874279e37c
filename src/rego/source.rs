//! A file of a bundle, and the problems found in it.

use std::fmt;

/// A file of a bundle, usually Rego. Modules have at most 2,000,000 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// Path inside the bundle, `/`-separated.
    pub path: String,
    pub text: String,
}

/// One defect of a bundle, at a position in a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    pub file: String,
    /// Line, from 1; 0 if the whole file is meant.
    pub line: u32,
    /// Column in characters, from 1; 0 if the whole line is meant.
    pub column: u32,
    /// What was found and what is allowed.
    pub message: String,
}

impl Problem {
    pub fn at(file: &str, line: u32, column: u32, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, column, message: message.into() }
    }

    pub fn of(file: &str, message: impl Into<String>) -> Self {
        Self::at(file, 0, 0, message)
    }

    /// Converts the engine's column to characters of `source`; see [`column_of`].
    #[must_use]
    pub fn with_source_column(mut self, source: &str) -> Self {
        let line = usize::try_from(self.line).ok().and_then(|line| source.lines().nth(line.checked_sub(1)?));
        if let Some(line) = line.filter(|_| self.column > 0) {
            self.column = column_of(line, self.column);
        }
        self
    }

    /// Reads the engine's error text: the last `--> file:line:col` and the last `error:` line.
    pub fn from_engine(file: &str, text: &str) -> Self {
        let mut location = (file.to_owned(), 0, 0);
        let mut message = None;
        for line in text.lines().map(str::trim) {
            if let Some(found) = line.strip_prefix("-->").map(str::trim).and_then(split_place) {
                location = found;
            } else if let Some(text) = line.strip_prefix("error:") {
                message = Some(text.trim().to_owned());
            }
        }
        let message = message.unwrap_or_else(|| text.trim().lines().last().unwrap_or_default().to_owned());
        Self { file: location.0, line: location.1, column: location.2, message }
    }
}

const TAB: usize = 4;

/// The engine's column as characters from 1, at the start of the word: the engine counts a tab as four columns, and
/// reports a call at its parenthesis and a reference at its last dot.
fn column_of(line: &str, column: u32) -> u32 {
    let letters: Vec<char> = line.chars().collect();
    let columns_before = usize::try_from(column).unwrap_or(1).saturating_sub(1);
    let mut width = 0;
    let mut at = letters.iter().take_while(|c| {
        let before = width < columns_before;
        width += if **c == '\t' { TAB } else { 1 };
        before
    });
    let mut at = at.by_ref().count();
    let of_word =
        |at: usize| letters.get(at).is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
    if letters.get(at).is_some_and(|c| matches!(c, '.' | '(' | '[')) {
        while at > 0 && of_word(at - 1) {
            at -= 1;
        }
    }
    u32::try_from(at + 1).unwrap_or(column)
}

fn split_place(text: &str) -> Option<(String, u32, u32)> {
    let (rest, column) = text.rsplit_once(':')?;
    let (file, line) = rest.rsplit_once(':')?;
    Some((file.to_owned(), line.parse().ok()?, column.parse().ok()?))
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (0, _) => write!(f, "{}: {}", self.file, self.message),
            (line, 0) => write!(f, "{}:{line}: {}", self.file, self.message),
            (line, column) => write!(f, "{}:{line}:{column}: {}", self.file, self.message),
        }
    }
}

/// All problems found, by file and line. Not empty when used as an error.
#[derive(Debug, Clone, Default, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// `Ok(value)` without problems, else all of them.
    pub fn into_result<T>(mut self, value: T) -> Result<T, Self> {
        if self.0.is_empty() {
            return Ok(value);
        }
        self.0.sort();
        self.0.dedup();
        Err(self)
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

/// The last line of an error of the engine, without `error:`.
pub(crate) fn sentence(text: &str) -> String {
    let line = last_line(text);
    line.strip_prefix("error:").map_or_else(|| line.clone(), |rest| rest.trim().to_owned())
}

/// The engine quotes source above the message; a denial has room for the message alone.
pub(crate) fn last_line(text: &str) -> String {
    text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or("failed").to_owned()
}

#[cfg(test)]
mod tests {
    use super::column_of;

    #[test]
    fn column_is_the_first_character_of_the_word() {
        for (line, column, expected) in [
            ("x := time.now_ns()", 17, 6),
            ("\tinput.requst.tag == 1", 17, 2),
            ("a", 9, 2),
            ("é.b", 2, 1),
            ("\t\tx == 1", 9, 3),
        ] {
            assert_eq!(column_of(line, column), expected, "{line}");
        }
    }
}
