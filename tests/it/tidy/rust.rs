//! Just enough of Rust's grammar to ask who imports whom and how long a function is.

use std::path::Path;

use super::shown;

/// A source file.
pub struct Source {
    /// Its path from the root.
    pub name: String,
    /// As it was written.
    pub text: String,
    /// The same with comments and literals blanked, every byte and line in its place.
    pub code: String,
}

impl Source {
    pub fn read(path: &Path) -> Self {
        let text =
            std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { name: shown(path), code: blank(&text), text }
    }

    /// The first line where a path begins with this word: `word::`, `use word`, or `word` within an import's braces.
    pub fn line_of_path(&self, word: &str) -> Option<usize> {
        let bytes_end = |at: usize| self.code[at + word.len()..].chars().next();
        let hits = self.code.match_indices(word).filter(|(at, _)| {
            let before = self.code[..*at].chars().next_back();
            let own = !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '.');
            let path = self.code[at + word.len()..].starts_with("::");
            let import = self.code[..*at].trim_end().ends_with("use")
                && bytes_end(*at).is_some_and(|c| c == ';' || c == ' ');
            own && (path || import)
        });
        let modules = word.split_once("::").map(|(first, second)| (format!("{first}::{{"), second));
        let braced = modules.and_then(|(open, second)| {
            self.code
                .match_indices(&open)
                .find(|(at, _)| heads(&self.code[at + open.len() - 1..]).iter().any(|head| head == second))
        });
        hits.chain(braced).map(|(at, _)| self.line(at)).next()
    }

    /// Lines of code that hold a text.
    pub fn lines_with<'a>(&'a self, text: &'a str) -> impl Iterator<Item = usize> + 'a {
        self.code
            .lines()
            .enumerate()
            .filter(move |(_, line)| line.contains(text))
            .map(|(number, _)| number + 1)
    }

    /// Functions with a body: name, and lines from `fn` to the last brace.
    pub fn functions(&self) -> Vec<(String, usize)> {
        let mut found = Vec::new();
        for (at, _) in self.code.match_indices("fn ") {
            if self.code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
                continue;
            }
            let rest = &self.code[at + 3..];
            let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if let Some(body) = body(rest).filter(|_| !name.is_empty()) {
                found.push((name, rest[..body].matches('\n').count() + 1));
            }
        }
        found
    }

    fn line(&self, at: usize) -> usize {
        self.code[..at].matches('\n').count() + 1
    }
}

/// The first names after a path's start: one, or each within its braces.
fn heads(after: &str) -> Vec<String> {
    let name = |text: &str| {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>()
    };
    let Some(inner) = after.strip_prefix('{') else { return vec![name(after)] };
    let (mut depth, mut heads, mut start) = (0, Vec::new(), 0);
    for (at, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                heads.push(name(&inner[start..at]));
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                heads.push(name(&inner[start..at]));
                start = at + 1;
            }
            _ => {}
        }
    }
    heads.into_iter().filter(|head| !head.is_empty()).collect()
}

/// Where a function's body ends; none for one without.
fn body(rest: &str) -> Option<usize> {
    let (mut round, mut curly) = (0_i32, 0_i32);
    for (at, c) in rest.char_indices() {
        match c {
            '(' | '[' => round += 1,
            ')' | ']' => round -= 1,
            ';' if round == 0 && curly == 0 => return None,
            '{' => curly += 1,
            '}' => {
                curly -= 1;
                if curly == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

/// Blanks comments and the inside of literals.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = literal(&chars, at);
        for (index, c) in chars[at..end.unwrap_or(at + 1)].iter().enumerate() {
            let keep = end.is_none() || *c == '\n' || index == 0;
            out.push(if keep && !(end.is_some() && *c == '/') { *c } else { ' ' });
        }
        at = end.unwrap_or(at + 1);
    }
    out
}

/// Where the comment or literal that begins here ends; none where code begins.
fn literal(chars: &[char], at: usize) -> Option<usize> {
    let peek = |offset: usize| chars.get(at + offset).copied();
    let until = |mut end: usize, stop: char| {
        while let Some(c) = chars.get(end) {
            if *c == stop {
                break;
            }
            end += if *c == '\\' { 2 } else { 1 };
        }
        Some((end + 1).min(chars.len()))
    };
    match (chars[at], peek(1)) {
        ('/', Some('/')) => {
            Some(chars[at..].iter().position(|c| *c == '\n').map_or(chars.len(), |found| at + found))
        }
        ('/', Some('*')) => {
            let (mut depth, mut end) = (1, at + 2);
            while depth > 0 && end < chars.len() {
                match (chars[end], chars.get(end + 1)) {
                    ('*', Some('/')) => (depth, end) = (depth - 1, end + 2),
                    ('/', Some('*')) => (depth, end) = (depth + 1, end + 2),
                    _ => end += 1,
                }
            }
            Some(end)
        }
        ('"', _) => until(at + 1, '"'),
        ('\'', Some('\\')) => until(at + 1, '\''),
        // `'a` is a lifetime, `'a'` a character.
        ('\'', Some(_)) if peek(2) == Some('\'') => Some(at + 3),
        ('r', Some('"' | '#'))
            if at == 0
                || !(chars[at - 1].is_alphanumeric() && chars[at - 1] != 'b' || chars[at - 1] == '_') =>
        {
            raw(chars, at)
        }
        _ => None,
    }
}

/// A raw text; `r#match` is a name.
fn raw(chars: &[char], at: usize) -> Option<usize> {
    let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
    if chars.get(at + 1 + hashes) != Some(&'"') {
        return None;
    }
    let mut end = at + 2 + hashes;
    while end < chars.len()
        && !(chars[end] == '"'
            && chars[end + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes)
    {
        end += 1;
    }
    Some((end + 1 + hashes).min(chars.len()))
}

#[test]
fn a_source_is_read_as_rust_reads_it() {
    let text = "use crate::{policy::X, tenancy};\n// crate::store\nfn a<'x>(y: [u8; 2]) -> &'x str {\n    r#\"} crate::api\"#\n}\nfn no(b: char) -> bool;\nconst C: char = '{';\n";
    let source = Source { name: "src/cli/x.rs".into(), code: blank(text), text: text.into() };
    assert_eq!(source.functions(), vec![("a".to_owned(), 3)]);
}
