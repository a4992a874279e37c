//! Labels by Kubernetes' grammar, and the selectors that lists are filtered with.

use std::collections::BTreeMap;

use super::text::quoted;

/// A label's key as a regular expression: `[DNS subdomain/]name`, the name at most 63 characters.
pub const KEY_PATTERN: &str = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$";

/// A label's value as a regular expression: empty, or at most 63 characters.
pub const VALUE_PATTERN: &str = "^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$";

/// Longest key, in bytes: a DNS subdomain, a slash and a name.
pub const KEY_LENGTH_MAX: usize = 317;

/// Most labels that one thing carries.
pub const LABELS_MAX: usize = 64;

/// Longest selector, in bytes, and most requirements in one.
pub const SELECTOR_LENGTH_MAX: usize = 1024;
const REQUIREMENTS_MAX: usize = 16;

/// Which labels a thing must carry; every requirement has to hold. The empty selector holds for everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selector(Vec<Requirement>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    In(Vec<String>),
    /// Matches if the key is absent, as in Kubernetes.
    NotIn(Vec<String>),
    Exists,
    Absent,
}

/// Why a text is no selector. Texts are quoted and cut.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    #[error("label selector has {length} characters (allowed: at most {SELECTOR_LENGTH_MAX})")]
    TooLong { length: usize },
    #[error("label selector has {count} requirements (allowed: at most {REQUIREMENTS_MAX})")]
    TooMany { count: usize },
    #[error(
        "label selector holds {found} (allowed: `key`, `!key`, `key=value`, `key!=value`, `key in (a,b)`, `key notin (a,b)`, joined by commas)"
    )]
    Requirement { found: String },
    #[error(
        "label selector has the key {found} (allowed: letters, digits and inner `-`, `_`, `.`, at most 63, after a DNS subdomain and `/` if any)"
    )]
    Key { found: String },
    #[error(
        "label selector has the value {found} (allowed: letters, digits and inner `-`, `_`, `.`, at most 63)"
    )]
    Value { found: String },
}

/// Whether `text` is a label's key.
pub fn is_key(text: &str) -> bool {
    let (prefix, name) = text.split_once('/').map_or((None, text), |(prefix, name)| (Some(prefix), name));
    prefix.is_none_or(super::text::is_dns_subdomain) && !name.is_empty() && is_value(name)
}

/// Whether `text` is a label's value; the empty one is.
pub fn is_value(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let end = |b: Option<&u8>| b.is_none_or(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= 63 && bytes.iter().copied().all(inner) && end(bytes.first()) && end(bytes.last())
}

impl Selector {
    /// Reads a selector as `kubectl -l` takes it; the empty text selects everything.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        if text.len() > SELECTOR_LENGTH_MAX {
            return Err(SelectorError::TooLong { length: text.len() });
        }
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let parts = split(text);
        if parts.len() > REQUIREMENTS_MAX {
            return Err(SelectorError::TooMany { count: parts.len() });
        }
        parts.into_iter().map(requirement).collect::<Result<_, _>>().map(Self)
    }

    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|Requirement { key, test }| match (test, labels.get(key)) {
            (Test::In(values), Some(value)) => values.contains(value),
            (Test::NotIn(values), Some(value)) => !values.contains(value),
            (Test::Exists, value) => value.is_some(),
            (Test::Absent | Test::NotIn(_), None) => true,
            (Test::In(_), None) | (Test::Absent, Some(_)) => false,
        })
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Commas inside parentheses separate values, not requirements.
fn split(text: &str) -> Vec<&str> {
    let mut inside = false;
    text.split(|c| {
        match c {
            '(' => inside = true,
            ')' => inside = false,
            _ => {}
        }
        c == ',' && !inside
    })
    .map(str::trim)
    .collect()
}

fn requirement(text: &str) -> Result<Requirement, SelectorError> {
    let odd = || SelectorError::Requirement { found: quoted(text) };
    if let Some(list) = text.strip_suffix(')') {
        let (head, list) = list.split_once('(').ok_or_else(odd)?;
        let (name, operator) = head.trim_end().split_once(char::is_whitespace).ok_or_else(odd)?;
        let values = list.split(',').map(|value| self::value(value.trim())).collect::<Result<_, _>>()?;
        let test = match operator.trim() {
            "in" => Test::In(values),
            "notin" => Test::NotIn(values),
            _ => return Err(odd()),
        };
        return Ok(Requirement { key: key(name)?, test });
    }
    if let Some((name, value_text)) = text.split_once("!=") {
        return Ok(Requirement {
            key: key(name.trim())?,
            test: Test::NotIn(vec![value(value_text.trim())?]),
        });
    }
    if let Some((name, value_text)) = text.split_once("==").or_else(|| text.split_once('=')) {
        return Ok(Requirement { key: key(name.trim())?, test: Test::In(vec![value(value_text.trim())?]) });
    }
    match text.strip_prefix('!') {
        Some(name) => Ok(Requirement { key: key(name.trim())?, test: Test::Absent }),
        None => Ok(Requirement { key: key(text)?, test: Test::Exists }),
    }
}

fn key(text: &str) -> Result<String, SelectorError> {
    if is_key(text) { Ok(text.to_owned()) } else { Err(SelectorError::Key { found: quoted(text) }) }
}

fn value(text: &str) -> Result<String, SelectorError> {
    if is_value(text) { Ok(text.to_owned()) } else { Err(SelectorError::Value { found: quoted(text) }) }
}

#[cfg(test)]
mod tests;
