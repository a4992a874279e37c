//! Lengths of time and sizes as flags carry them: a number never comes without its unit.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A length of time: `500ms`, `10s`, `2m`, `1h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Duration);

/// A number of bytes: `512B`, `64KiB`, `16MiB`, `1GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteSize(pub usize);

/// The text is no length of time, or no size.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// A length of time was asked for.
    #[error("`{0}` is not a length of time; write a whole number and ms, s, m or h, as in `10s`")]
    Span(String),
    /// A size was asked for.
    #[error("`{0}` is not a size; write a whole number and B, KiB, MiB or GiB, as in `16MiB`")]
    Size(String),
}

impl FromStr for Span {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let millis = scaled(text, &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)]);
        millis.map(|n| Self(Duration::from_millis(n))).ok_or_else(|| UnitError::Span(text.to_owned()))
    }
}

impl FromStr for ByteSize {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let bytes = scaled(text, &[("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("B", 1)]);
        bytes.and_then(|n| usize::try_from(n).ok()).map(Self).ok_or_else(|| UnitError::Size(text.to_owned()))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        match millis {
            0 => f.write_str("0s"),
            n if n % 3_600_000 == 0 => write!(f, "{}h", n / 3_600_000),
            n if n % 60_000 == 0 => write!(f, "{}m", n / 60_000),
            n if n % 1_000 == 0 => write!(f, "{}s", n / 1_000),
            n => write!(f, "{n}ms"),
        }
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("0B"),
            n if n % (1 << 30) == 0 => write!(f, "{}GiB", n >> 30),
            n if n % (1 << 20) == 0 => write!(f, "{}MiB", n >> 20),
            n if n % (1 << 10) == 0 => write!(f, "{}KiB", n >> 10),
            n => write!(f, "{n}B"),
        }
    }
}

/// The first unit that fits wins, so a unit stands before those that are its ending.
fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (digits, scale) =
        units.iter().find_map(|(unit, scale)| text.strip_suffix(unit).map(|digits| (digits, *scale)))?;
    // `u64::from_str` would take a sign.
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse::<u64>().ok())??.checked_mul(scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_what_is_read() {
        for text in ["0s", "500ms", "10s", "2m", "1h", "90s"] {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.to_string().parse::<Span>(), Ok(span), "{text}");
        }
        for (text, bytes) in [("512B", 512), ("64KiB", 65_536), ("16MiB", 16_777_216), ("1GiB", 1 << 30)] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)));
            assert_eq!(ByteSize(bytes).to_string(), text);
        }
    }

    #[test]
    fn a_number_without_a_unit_is_no_answer() {
        for text in ["", "10", "s", "-1s", "+1s", "1.5s", "10 s", "10S", "18446744073709551615h"] {
            assert_eq!(text.parse::<Span>(), Err(UnitError::Span(text.to_owned())));
        }
        for text in ["", "16", "16MB", "16Mi", "MiB", "99999999999GiB"] {
            assert_eq!(text.parse::<ByteSize>(), Err(UnitError::Size(text.to_owned())));
        }
    }
}
