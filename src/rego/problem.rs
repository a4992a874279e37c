//! What is wrong with a policy, where, and in words an author can act on.

use std::fmt;

/// One defect of a bundle, at a place in a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Path inside the bundle, `/`-separated.
    pub file: String,
    /// Line, counted from 1; 0 where the file as a whole is meant.
    pub line: u32,
    /// Column in characters, counted from 1; 0 where the line as a whole is meant.
    pub column: u32,
    /// The sentence: what was found, what is allowed.
    pub message: String,
}

impl Problem {
    /// A problem at a place.
    pub fn at(file: &str, line: u32, column: u32, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, column, message: message.into() }
    }

    /// A problem of the file as a whole.
    pub fn of(file: &str, message: impl Into<String>) -> Self {
        Self::at(file, 0, 0, message)
    }

    /// The same problem with its column in characters of the source; see [`column_of`].
    #[must_use]
    pub fn settled(mut self, source: &str) -> Self {
        let line = usize::try_from(self.line).ok().and_then(|line| source.lines().nth(line.checked_sub(1)?));
        if let Some(line) = line.filter(|_| self.column > 0) {
            self.column = column_of(line, self.column);
        }
        self
    }

    /// Reads the engine's own error text, whose last `--> file:line:col` and `error:` lines say it best.
    pub fn from_engine(file: &str, text: &str) -> Self {
        let mut place = (file.to_owned(), 0, 0);
        let mut message = None;
        for line in text.lines().map(str::trim) {
            if let Some(found) = line.strip_prefix("-->").map(str::trim).and_then(split_place) {
                place = found;
            } else if let Some(said) = line.strip_prefix("error:") {
                message = Some(said.trim().to_owned());
            }
        }
        let message = message.unwrap_or_else(|| text.trim().lines().last().unwrap_or_default().to_owned());
        Self { file: place.0, line: place.1, column: place.2, message }
    }
}

/// Columns that the engine counts for a tab.
const TAB: usize = 4;

/// A column as the engine has it → characters from 1, at the beginning of the word that is meant: the engine counts a
/// tab as four, and places a call at its parenthesis and a reference at its last dot.
pub fn column_of(line: &str, column: u32) -> u32 {
    let letters: Vec<char> = line.chars().collect();
    let wanted = usize::try_from(column).unwrap_or(1).saturating_sub(1);
    let mut width = 0;
    let mut at = letters.iter().take_while(|c| {
        let before = width < wanted;
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

/// Every problem found, in order of file and line; never empty where it is an error.
#[derive(Debug, Clone, Default, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// `Ok(value)` when nothing was found, else all of it.
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

#[cfg(test)]
mod tests {
    use super::column_of;

    #[test]
    fn a_column_is_a_character_at_the_beginning_of_the_word() {
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
