//! `sprintf`, as Go's `fmt.Sprintf` writes.
//!
//! `regorus` 0.14.1 (`builtins/strings.rs`) writes the sign of a negative number twice, has no flags, ignores the width of
//! strings, and fails where Go writes `%!d(string=a)`. `*` and `[1]`, which take a width or an index from elsewhere, are refused.

use std::fmt::Write as _;

use regorus::Value;

use super::cost::{ByteCounter, charge};
use super::text::StringBuilder;

const NAME: &str = "sprintf";
/// The largest precision.
const PRECISION_MAX: usize = 1000;

/// An argument as OPA passes it to Go.
enum FormatArgument<'v> {
    Whole(i128),
    Long(String),
    Float(f64),
    Text(std::borrow::Cow<'v, str>),
}

impl<'v> FormatArgument<'v> {
    fn new(value: &'v Value) -> Self {
        match value {
            Value::Number(_) => {
                if let Ok(whole) = value.as_i128() {
                    return Self::Whole(whole);
                }
                let text = super::json::plain(value);
                match value.as_f64() {
                    Ok(float) if text.contains(['.', 'e', 'E']) => Self::Float(float),
                    _ => Self::Long(text),
                }
            }
            Value::String(text) => Self::Text(std::borrow::Cow::Borrowed(text)),
            other => Self::Text(std::borrow::Cow::Owned(written(other))),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Whole(whole) if i64::try_from(*whole).is_ok() => "int64",
            Self::Whole(_) | Self::Long(_) => "*big.Int",
            Self::Float(_) => "float64",
            Self::Text(_) => "string",
        }
    }
}

/// The flags between `%` and its verb.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "Go's flags")]
struct Flags {
    plus: bool,
    minus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: usize,
    precision: Option<usize>,
}

#[cfg(test)]
const PANICS: &str = "panic %d";

pub(crate) fn sprintf(args: &[Value]) -> Result<Value, String> {
    let (Some(Value::String(format)), Some(Value::Array(values))) = (args.first(), args.get(1)) else {
        return Err(format!("builtin `{NAME}` takes a string and an array"));
    };
    // No allowed builtin is known to panic; the tests of panics need one.
    #[cfg(test)]
    assert!(&**format != PANICS, "a format that panics in tests");
    charge(NAME, super::text::sprintf(args))?;
    let mut built = ByteCounter::new(NAME);
    let mut made = StringBuilder::new(&mut built);
    let mut values = values.iter();
    let mut rest: &str = format;
    while let Some((before, after)) = rest.split_once('%') {
        made.push(before)?;
        let (flags, after) = read(after)?;
        let mut chars = after.chars();
        rest = match chars.next() {
            None => {
                made.push("%!(NOVERB)")?;
                ""
            }
            Some('%') => {
                made.push("%")?;
                chars.as_str()
            }
            Some(verb) => {
                match values.next() {
                    Some(value) => made.push(&formatted(&flags, verb, value)?)?,
                    None => made.push(&format!("%!{verb}(MISSING)"))?,
                }
                chars.as_str()
            }
        };
    }
    made.push(rest)?;
    let mut before = "%!(EXTRA ";
    let extra = values.len() > 0;
    for value in values {
        made.push(before)?;
        made.push(FormatArgument::new(value).kind())?;
        made.push("=")?;
        made.push(&formatted(&Flags::default(), 'v', value)?)?;
        before = ", ";
    }
    made.push(if extra { ")" } else { "" })?;
    made.done()
}

fn read(mut text: &str) -> Result<(Flags, &str), String> {
    let mut flags = Flags::default();
    while let Some(flag) = text.bytes().next() {
        match flag {
            b'+' => flags.plus = true,
            b'-' => flags.minus = true,
            b'#' => flags.sharp = true,
            b' ' => flags.space = true,
            b'0' => flags.zero = true,
            _ => break,
        }
        text = text.get(1..).unwrap_or_default();
    }
    let (width, after) = number(text)?;
    flags.width = width.unwrap_or(0);
    text = after;
    if let Some(after) = text.strip_prefix('.') {
        let (precision, after) = number(after)?;
        flags.precision = Some(precision.unwrap_or(0));
        text = after;
    }
    if text.starts_with(['*', '[']) {
        return Err(format!(
            "builtin `{NAME}` takes no `*` and no `[` after `%`; write the width, and each argument in its place"
        ));
    }
    Ok((flags, text))
}

/// The leading digits of `text`. Go accepts no number beyond a million.
fn number(text: &str) -> Result<(Option<usize>, &str), String> {
    let end = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, after) = text.split_at_checked(end).unwrap_or(("", text));
    match digits.parse() {
        Ok(number) if number <= 1_000_000 => Ok((Some(number), after)),
        _ if digits.is_empty() => Ok((None, after)),
        _ => Err(format!("builtin `{NAME}` takes no width of {} digits", digits.len())),
    }
}

fn formatted(flags: &Flags, verb: char, value: &Value) -> Result<String, String> {
    let argument = FormatArgument::new(value);
    if verb == 'v' {
        if flags.sharp {
            return Err(unknown(verb, '#'));
        }
        let plain = Flags { plus: false, precision: flags.precision, ..*flags };
        return written_as(&plain, verb, &argument).map(Option::unwrap_or_default);
    }
    if verb == 'T' {
        return Ok(padded(flags, argument.kind().to_owned(), flags.zero));
    }
    if let Some(text) = written_as(flags, verb, &argument)? {
        return Ok(text);
    }
    let text = written_as(flags, 'v', &argument)?.unwrap_or_default();
    Ok(format!("%!{verb}({}={text})", argument.kind()))
}

/// `None` if Go does not accept the verb for such an argument.
fn written_as(flags: &Flags, verb: char, argument: &FormatArgument<'_>) -> Result<Option<String>, String> {
    match argument {
        FormatArgument::Whole(whole) => integer(flags, verb, *whole, argument.kind() == "*big.Int"),
        FormatArgument::Long(digits) if matches!(verb, 'd' | 'v' | 's') => {
            let (negative, digits) =
                digits.strip_prefix('-').map_or((false, digits.as_str()), |digits| (true, digits));
            Ok(Some(signed(flags, negative, digits.to_owned())))
        }
        FormatArgument::Long(_) => Err(unknown(verb, 'n')),
        FormatArgument::Float(float) => floating(flags, verb, *float),
        FormatArgument::Text(text) => textual(flags, verb, text),
    }
}

fn unknown(verb: char, flag: char) -> String {
    match flag {
        'n' => format!(
            "builtin `{NAME}` does not write a number of that length with `%{verb}`; use `%d` or `%v`"
        ),
        flag => format!("builtin `{NAME}` does not know `{flag}` with `%{verb}`"),
    }
}

fn integer(flags: &Flags, verb: char, whole: i128, long: bool) -> Result<Option<String>, String> {
    let magnitude = whole.unsigned_abs();
    let digits = match verb {
        'd' | 'v' => magnitude.to_string(),
        's' if long => magnitude.to_string(),
        'b' if flags.sharp => format!("0b{magnitude:b}"),
        'b' => format!("{magnitude:b}"),
        'o' if flags.sharp && magnitude > 0 => format!("0{magnitude:o}"),
        'o' => format!("{magnitude:o}"),
        'O' => format!("0o{magnitude:o}"),
        'x' => format!("{magnitude:x}"),
        'X' => format!("{magnitude:X}"),
        'c' if !long => {
            let char =
                u32::try_from(whole).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER);
            return Ok(Some(padded(flags, char.to_string(), flags.zero)));
        }
        'q' | 'U' => return Err(unknown(verb, 'n')),
        _ => return Ok(None),
    };
    let prefixed = flags.sharp || verb == 'O';
    if prefixed && (flags.zero || flags.precision.is_some()) {
        return Err(unknown(verb, '#'));
    }
    if flags.precision == Some(0) && whole == 0 {
        return Ok(Some(padded(flags, String::new(), false)));
    }
    let prefix = match verb {
        'x' if flags.sharp => "0x",
        'X' if flags.sharp => "0X",
        _ => "",
    };
    Ok(Some(signed(flags, whole < 0, format!("{prefix}{digits}"))))
}

/// Pads digits with zeros and puts the sign first.
fn signed(flags: &Flags, negative: bool, mut digits: String) -> String {
    let sign = match (negative, flags.plus, flags.space) {
        (true, ..) => "-",
        (_, true, _) => "+",
        (_, _, true) => " ",
        _ => "",
    };
    let least = match flags.precision {
        Some(precision) => precision,
        None if flags.zero && !flags.minus => flags.width.saturating_sub(sign.len()),
        None => 0,
    };
    if digits.len() < least {
        digits.insert_str(0, &"0".repeat(least - digits.len()));
    }
    padded(flags, format!("{sign}{digits}"), false)
}

/// Pads to the width of the flags, in characters.
fn padded(flags: &Flags, text: String, zeros: bool) -> String {
    let missing = flags.width.saturating_sub(text.chars().count());
    if missing == 0 {
        return text;
    }
    if flags.minus {
        return text + &" ".repeat(missing);
    }
    (if zeros { "0" } else { " " }).repeat(missing) + &text
}

fn textual(flags: &Flags, verb: char, text: &str) -> Result<Option<String>, String> {
    let cut = |text: &str| match flags.precision {
        Some(count) => text.chars().take(count).collect(),
        None => text.to_owned(),
    };
    let text = match verb {
        'v' | 's' => cut(text),
        'q' if flags.sharp || flags.plus => return Err(unknown(verb, if flags.sharp { '#' } else { '+' })),
        'q' => quoted(&cut(text)),
        'x' | 'X' if flags.sharp || flags.space => {
            return Err(unknown(verb, if flags.sharp { '#' } else { ' ' }));
        }
        'x' | 'X' => {
            let bytes = text.bytes().take(flags.precision.unwrap_or(usize::MAX));
            let mut digits = String::new();
            for byte in bytes {
                let _ = write!(digits, "{byte:02x}");
            }
            if verb == 'x' { digits } else { digits.to_uppercase() }
        }
        _ => return Ok(None),
    };
    Ok(Some(padded(flags, text, flags.zero)))
}

fn floating(flags: &Flags, verb: char, float: f64) -> Result<Option<String>, String> {
    if flags.sharp || flags.precision.is_some_and(|precision| precision > PRECISION_MAX) {
        return Err(unknown(verb, '#'));
    }
    let magnitude = float.abs();
    let digits = match verb {
        'v' | 'g' => general(magnitude, flags.precision),
        'G' => general(magnitude, flags.precision).to_uppercase(),
        'e' => exponential(magnitude, Some(flags.precision.unwrap_or(6))),
        'E' => exponential(magnitude, Some(flags.precision.unwrap_or(6))).to_uppercase(),
        'f' | 'F' => format!("{magnitude:.*}", flags.precision.unwrap_or(6)),
        'b' | 'x' | 'X' => return Err(unknown(verb, 'n')),
        _ => return Ok(None),
    };
    // The precision applies to the digits, so zeros pad to the width alone.
    let spent = Flags { precision: None, ..*flags };
    Ok(Some(signed(&spent, float.is_sign_negative(), digits)))
}

/// `1.5e+06`: a signed exponent of at least two digits.
fn exponential(magnitude: f64, precision: Option<usize>) -> String {
    let text =
        precision.map_or_else(|| format!("{magnitude:e}"), |precision| format!("{magnitude:.precision$e}"));
    let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, power) = power.strip_prefix('-').map_or(('+', power), |power| ('-', power));
    format!("{digits}e{sign}{power:0>2}")
}

/// `%g`: uses an exponent below -4, or from the precision on, which is 6 by default.
fn general(magnitude: f64, precision: Option<usize>) -> String {
    let precision = precision.map(|precision| precision.max(1));
    let text = exponential(magnitude, precision.map(|precision| precision - 1));
    let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
    let digits =
        if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits };
    let exponent: i32 = power.parse().unwrap_or(0);
    let count = digits.bytes().filter(u8::is_ascii_digit).count();
    let most = match precision {
        None => 6,
        Some(precision) if precision > count && i32::try_from(count).is_ok_and(|count| count > exponent) => {
            count
        }
        Some(precision) => precision,
    };
    if exponent < -4 || i32::try_from(most).is_ok_and(|most| exponent >= most) {
        return format!("{digits}e{power}");
    }
    let plain: String = digits.chars().filter(char::is_ascii_digit).collect();
    let Ok(point) = usize::try_from(exponent) else {
        let zeros = usize::try_from(exponent.unsigned_abs()).unwrap_or(1) - 1;
        return format!("0.{}{plain}", "0".repeat(zeros));
    };
    match plain.split_at_checked(point + 1) {
        Some((whole, "")) => whole.to_owned(),
        Some((whole, part)) => format!("{whole}.{part}"),
        None => format!("{plain:0<width$}", width = point + 1),
    }
}

/// Writes a value as OPA's `ast.Term.String`: `["a", 1]`, `{"a": 1}`, `set()`. The caller has checked its size.
pub(crate) fn written(value: &Value) -> String {
    let mut text = String::new();
    write_value(&mut text, value);
    text
}

fn write_value(text: &mut String, value: &Value) {
    match value {
        Value::String(inner) => text.push_str(&quoted(inner)),
        Value::Array(items) => {
            text.push('[');
            listed(text, items.iter());
            text.push(']');
        }
        Value::Set(items) if items.is_empty() => text.push_str("set()"),
        Value::Set(items) => {
            text.push('{');
            // In OPA's order of types, which is not the engine's.
            let mut items: Vec<&Value> = items.iter().collect();
            items.sort_by(|left, right| super::arithmetic::compare(left, right));
            listed(text, items.into_iter());
            text.push('}');
        }
        Value::Object(entries) => {
            text.push('{');
            for (at, (key, value)) in entries.iter_sorted().enumerate() {
                text.push_str(if at > 0 { ", " } else { "" });
                write_value(text, key);
                text.push_str(": ");
                write_value(text, value);
            }
            text.push('}');
        }
        other => text.push_str(&super::json::plain(other)),
    }
}

fn listed<'v>(text: &mut String, items: impl Iterator<Item = &'v Value>) {
    for (at, item) in items.enumerate() {
        text.push_str(if at > 0 { ", " } else { "" });
        write_value(text, item);
    }
}

/// Quotes as Go's `strconv.Quote`.
pub(crate) fn quoted(text: &str) -> String {
    let mut made = String::with_capacity(text.len() + 2);
    made.push('"');
    for char in text.chars() {
        let code = u32::from(char);
        let _ = match char {
            '"' => made.write_str("\\\""),
            '\\' => made.write_str("\\\\"),
            '\u{7}' => made.write_str("\\a"),
            '\u{8}' => made.write_str("\\b"),
            '\u{c}' => made.write_str("\\f"),
            '\n' => made.write_str("\\n"),
            '\r' => made.write_str("\\r"),
            '\t' => made.write_str("\\t"),
            '\u{b}' => made.write_str("\\v"),
            char if printed(char) => made.write_char(char),
            _ if code < 0x80 => write!(made, "\\x{code:02x}"),
            _ if code < 0x1_0000 => write!(made, "\\u{code:04x}"),
            _ => write!(made, "\\U{code:08x}"),
        };
    }
    made.push('"');
    made
}

/// Whether Go prints a character as it is: no control, format or private character, no noncharacter, no space but U+0020.
fn printed(char: char) -> bool {
    let hidden = matches!(u32::from(char), 0xad | 0x600..=0x605 | 0x61c | 0x6dd | 0x70f | 0x180e | 0x200b..=0x200f | 0x202a..=0x202e
        | 0x2060..=0x206f | 0xe000..=0xf8ff | 0xfdd0..=0xfdef | 0xfeff | 0xfff0..=0xfffb | 0xe_0000..=0xe_00ff | 0xf_0000..);
    char == ' '
        || !(char.is_control() || char.is_whitespace() || hidden || u32::from(char) & 0xfffe == 0xfffe)
}
