//! Translates Go's regular expressions to those of the crate `regex`.
//!
//! `regorus` 0.14.1 (`builtins/regex.rs`) passes a pattern to the crate as it is. There `\d`, `\w`, `\s` and `\b` are
//! Unicode, `\s` includes `\v`, `\Q…\E` is refused, and classes have `&&`, `--`, `~~` and nested classes. OPA reads Go's
//! `regexp/syntax`. Each piece is parsed as Go does and written so that the crate gives it the same meaning.

use std::fmt::Write as _;

/// The largest repetition that Go accepts.
const TIMES_MAX: u32 = 1000;

/// The pattern in the crate's syntax; `None` if Go refuses it.
pub(crate) fn translate(pattern: &str) -> Option<String> {
    let mut reader =
        Reader { rest: pattern, made: String::with_capacity(pattern.len() + 16), named_classes: true };
    let mut repeated = false;
    while let Some(next) = reader.rest.chars().next() {
        repeated = match next {
            '*' | '+' | '?' => {
                reader.skip(1);
                reader.repeat(repeated, &next.to_string())?
            }
            '{' => reader.braces(repeated)?,
            '(' => reader.group()?,
            '[' => reader.class()?,
            '\\' => reader.escape()?,
            other => reader.plain(other),
        };
    }
    Some(reader.made)
}

struct Reader<'p> {
    rest: &'p str,
    made: String,
    named_classes: bool,
}

impl<'p> Reader<'p> {
    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let next = chars.next()?;
        self.rest = chars.as_str();
        Some(next)
    }

    fn starts(&self, with: &str) -> bool {
        self.rest.starts_with(with)
    }

    /// A literal character, or an operator that means the same in both.
    fn plain(&mut self, next: char) -> bool {
        self.skip(next.len_utf8());
        match next {
            '^' | '$' | '.' | '|' | ')' => self.made.push(next),
            other => self.literal(other),
        }
        false
    }

    fn literal(&mut self, char: char) {
        if char.is_ascii_alphanumeric() || !char.is_ascii() {
            self.made.push(char);
        } else {
            let _ = write!(self.made, "\\x{{{:x}}}", u32::from(char));
        }
    }

    /// `**` is refused, as is `*{2}`.
    fn repeat(&mut self, repeated: bool, operator: &str) -> Option<bool> {
        if repeated {
            return None;
        }
        self.made.push_str(operator);
        if self.starts("?") {
            self.skip(1);
            self.made.push('?');
        }
        Some(true)
    }

    /// `{2,3}` is a repetition; anything else is the literal `{`.
    fn braces(&mut self, repeated: bool) -> Option<bool> {
        let Some((operator, least, most)) = counts(self.rest) else {
            self.skip(1);
            self.literal('{');
            return Some(false);
        };
        let most = most.unwrap_or(least);
        if least > TIMES_MAX || most > TIMES_MAX || least > most {
            return None;
        }
        self.skip(operator.len());
        self.repeat(repeated, operator)
    }

    fn group(&mut self) -> Option<bool> {
        self.skip(1);
        if !self.starts("?") {
            self.made.push('(');
            return Some(false);
        }
        let named = ["?P<", "?<"].into_iter().find(|start| self.starts(start));
        if let Some(start) = named {
            let name = self.rest.get(start.len()..)?;
            let name = name.get(..name.find('>')?)?;
            if name.is_empty() || !name.chars().all(word) {
                return None;
            }
            self.skip(start.len() + name.len() + 1);
            // Go lets a name begin with a digit, which the crate refuses.
            let _ = write!(self.made, "(?P<{}>", group_name(name));
            return Some(false);
        }
        let end = self.rest.find([':', ')'])?;
        let flags = self.rest.get(1..end)?;
        let (on, off) = flags.split_once('-').unwrap_or((flags, ""));
        let known = |flags: &str| flags.chars().all(|flag| matches!(flag, 'i' | 'm' | 's' | 'U'));
        if !known(on) || !known(off) || (flags.contains('-') && off.is_empty()) {
            return None;
        }
        // Only the crate refuses repeated flags and an empty list of flags.
        let once = |flags: &str| "imsU".chars().filter(|flag| flags.contains(*flag)).collect::<String>();
        let (on, off) = (once(on).replace(|flag| off.contains(flag), ""), once(off));
        let ends = self.rest.get(end..=end)?;
        self.skip(end + 1);
        match (on.is_empty() && off.is_empty(), off.is_empty()) {
            (true, _) if ends == ")" => self.made.push_str("(?:)"),
            (_, true) => self.made.extend(["(?", &on, ends]),
            (_, false) => self.made.extend(["(?", &on, "-", &off, ends]),
        }
        Some(false)
    }

    fn escape(&mut self) -> Option<bool> {
        let after = self.rest.get(1..)?;
        let kind = after.chars().next()?;
        let anchor = match kind {
            'A' => "\\A",
            'z' => "\\z",
            'b' => "(?-u:\\b)",
            'B' => "(?-u:\\B)",
            'Q' => {
                let text = after.get(1..)?;
                let (text, rest) = text.split_once("\\E").unwrap_or((text, ""));
                text.chars().for_each(|char| self.literal(char));
                self.rest = rest;
                return Some(false);
            }
            _ => "",
        };
        if !anchor.is_empty() {
            self.skip(2);
            self.made.push_str(anchor);
            return Some(false);
        }
        if let Some(class) = self.named()? {
            self.made.push_str(&class);
            return Some(false);
        }
        let char = self.character()?;
        self.literal(char);
        Some(false)
    }

    /// `\d`, `\pL` and similar as a class of the crate; `Some(None)` for any other escape.
    #[expect(clippy::option_option, reason = "refused, another thing, or a class")]
    fn named(&mut self) -> Option<Option<String>> {
        let Some(kind) = self.rest.strip_prefix('\\').and_then(|after| after.chars().next()) else {
            return Some(None);
        };
        let ascii = match kind {
            'd' => "[0-9]",
            'D' => "[^0-9]",
            'w' => "[0-9A-Za-z_]",
            'W' => "[^0-9A-Za-z_]",
            's' => "[\\t\\n\\x0c\\r\\x20]",
            'S' => "[^\\t\\n\\x0c\\r\\x20]",
            'p' | 'P' => return self.property(kind).map(Some),
            _ => return Some(None),
        };
        self.skip(2);
        Some(Some(ascii.to_owned()))
    }

    /// `\pL`, `\p{Greek}`, `\p{^Greek}`.
    fn property(&mut self, kind: char) -> Option<String> {
        self.skip(2);
        let first = self.next()?;
        let name = if first == '{' {
            let name = self.rest.get(..self.rest.find('}')?)?;
            self.skip(name.len() + 1);
            name.to_owned()
        } else {
            first.to_string()
        };
        let (turned, name) = name.strip_prefix('^').map_or((false, name.as_str()), |name| (true, name));
        if name.is_empty() || !name.chars().all(word) {
            return None;
        }
        let kind = if turned == (kind == 'P') { 'p' } else { 'P' };
        Some(format!("\\{kind}{{{name}}}"))
    }

    /// One character, escaped or not.
    fn character(&mut self) -> Option<char> {
        let first = self.next()?;
        if first != '\\' {
            return Some(first);
        }
        let kind = self.next()?;
        match kind {
            'a' => Some('\u{7}'),
            'f' => Some('\u{c}'),
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            'v' => Some('\u{b}'),
            'x' => self.hexadecimal(),
            '0'..='7' => {
                let more = self.rest.bytes().take(2).take_while(|byte| (b'0'..=b'7').contains(byte)).count();
                if kind != '0' && more == 0 {
                    return None;
                }
                let digits = format!("{kind}{}", self.rest.get(..more)?);
                self.skip(more);
                char::from_u32(u32::from_str_radix(&digits, 8).ok()?)
            }
            other => (other.is_ascii() && !other.is_ascii_alphanumeric()).then_some(other),
        }
    }

    fn hexadecimal(&mut self) -> Option<char> {
        let digits = if self.starts("{") {
            let digits = self.rest.get(1..self.rest.find('}')?)?;
            self.skip(digits.len() + 2);
            digits
        } else {
            let digits = self.rest.get(..2)?;
            self.skip(2);
            digits
        };
        if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        let digits = digits.trim_start_matches('0');
        char::from_u32(if digits.is_empty() { 0 } else { u32::from_str_radix(digits, 16).ok()? })
    }

    /// `[…]`: in it, `[`, `&&`, `--` and `~~` are characters.
    fn class(&mut self) -> Option<bool> {
        self.skip(1);
        self.made.push('[');
        if self.starts("^") {
            self.skip(1);
            self.made.push('^');
        }
        let mut first = true;
        while first || !self.starts("]") {
            first = false;
            if self.posix()? {
                continue;
            }
            if let Some(class) = self.named()? {
                self.made.push_str(&class);
                continue;
            }
            let least = self.character()?;
            let mut most = least;
            if self.starts("-") && !self.starts("-]") && self.rest.len() > 1 {
                self.skip(1);
                most = self.character()?;
            }
            if most < least {
                return None;
            }
            let _ = write!(self.made, "\\x{{{:x}}}-\\x{{{:x}}}", u32::from(least), u32::from(most));
        }
        self.skip(1);
        self.made.push(']');
        Some(false)
    }

    /// `[:alpha:]`. An unknown name is refused.
    fn posix(&mut self) -> Option<bool> {
        let Some(after) = self.rest.strip_prefix("[:").filter(|_| self.named_classes) else {
            return Some(false);
        };
        // Searched only once in vain: a pattern of many `[:` would be scanned for each.
        let Some(end) = after.find(":]") else {
            self.named_classes = false;
            return Some(false);
        };
        let class: &'p str = self.rest.get(..end + 4)?;
        let name = class.get(2..end + 2)?;
        let name = name.strip_prefix('^').unwrap_or(name);
        POSIX.contains(&name).then(|| {
            self.skip(class.len());
            self.made.push_str(class);
            true
        })
    }
}

const POSIX: &[&str] = &[
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
    "upper", "word", "xdigit",
];

fn word(char: char) -> bool {
    char.is_ascii_alphanumeric() || char == '_'
}

/// The name of a group in the translated pattern.
pub(crate) fn group_name(name: &str) -> String {
    format!("_{name}")
}

/// The repetition `{2}`, `{2,}` or `{2,3}` at the start of `text`.
fn counts(text: &str) -> Option<(&str, u32, Option<u32>)> {
    let end = 1 + text.bytes().skip(1).take_while(|byte| byte.is_ascii_digit() || *byte == b',').count();
    text.get(end..).filter(|rest| rest.starts_with('}'))?;
    let inner = text.get(1..end)?;
    let number = |digits: &str| {
        let plain = digits.bytes().all(|digit| digit.is_ascii_digit());
        let short = !digits.is_empty() && (digits.len() == 1 || !digits.starts_with('0'));
        (plain && short).then(|| digits.parse().unwrap_or(u32::MAX))
    };
    let (least, most) = match inner.split_once(',') {
        None => (number(inner)?, None),
        Some((least, "")) => (number(least)?, None),
        Some((least, most)) => (number(least)?, Some(number(most)?)),
    };
    Some((text.get(..=end)?, least, most))
}

/// The pattern of a template, as in OPA: what stands between the delimiters is a pattern, the rest is literal. `None` if
/// delimiters are not paired, or a pattern does not parse.
pub(crate) fn template(written: &str, start: u8, end: u8) -> Option<String> {
    let mut pattern = "^".to_owned();
    let (mut level, mut from, mut text) = (0_usize, 0, 0);
    for (at, byte) in written.bytes().enumerate() {
        if byte == start {
            level += 1;
            if level == 1 {
                from = at;
            }
        } else if byte == end {
            level = level.checked_sub(1)?;
            if level > 0 {
                continue;
            }
            let inner = written.get(from + 1..at)?;
            regex_syntax::parse(&translate(inner)?).ok()?;
            quote(&mut pattern, written.get(text..from)?);
            pattern.extend(["(", inner, ")"]);
            text = at + 1;
        }
    }
    quote(&mut pattern, written.get(text..)?);
    pattern.push('$');
    (level == 0).then_some(pattern)
}

/// As Go's `regexp.QuoteMeta`.
fn quote(pattern: &mut String, text: &str) {
    for char in text.chars() {
        if "\\.+*?()|[]{}^$".contains(char) {
            pattern.push('\\');
        }
        pattern.push(char);
    }
}
