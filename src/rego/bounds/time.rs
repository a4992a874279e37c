//! `time.parse_rfc3339_ns`, as Go's `time.Parse` reads RFC 3339.
//!
//! `regorus` 0.14.1 (`builtins/time.rs`) uses the crate `chrono`, which accepts `t`, `z`, a space and second 60, and
//! refuses a comma before a fraction and an hour of one digit. Go accepts the latter and refuses the former.

use regorus::Value;

const NAME: &str = "time.parse_rfc3339_ns";
const SECOND: i128 = 1_000_000_000;

pub(crate) fn parse_rfc3339(args: &[Value]) -> Result<Value, String> {
    let Some(Value::String(text)) = args.first() else {
        return Err(format!("builtin `{NAME}` takes a string"));
    };
    let time =
        parsed(text).ok_or_else(|| format!("builtin `{NAME}` failed: the string is not an RFC 3339 time"))?;
    let time = i64::try_from(time)
        .map_err(|_| format!("builtin `{NAME}` failed: the time is beyond 64 bits of nanoseconds"))?;
    Ok(Value::from(time))
}

/// Nanoseconds since 1970.
fn parsed(text: &str) -> Option<i128> {
    let mut rest = text.as_bytes();
    let year = number(&mut rest, 4, 4)?;
    let month = number(after(&mut rest, b'-')?, 2, 2)?;
    let day = number(after(&mut rest, b'-')?, 2, 2)?;
    let hour = number(after(&mut rest, b'T')?, 1, 2)?;
    let minute = number(after(&mut rest, b':')?, 2, 2)?;
    let second = number(after(&mut rest, b':')?, 2, 2)?;
    let nanoseconds = fraction(&mut rest);
    let offset = zone(rest)?;
    if !(1..=12).contains(&month) || !(1..=days(year, month)).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let of_day = (hour * 60 + minute) * 60 + second - offset;
    Some(i128::from(since_1970(year, month, day) * 86_400 + of_day) * SECOND + i128::from(nanoseconds))
}

fn after<'t, 'b>(rest: &'t mut &'b [u8], expected: u8) -> Option<&'t mut &'b [u8]> {
    *rest = rest.split_first().filter(|(first, _)| **first == expected)?.1;
    Some(rest)
}

/// Reads from `least` to `most` digits.
fn number(rest: &mut &[u8], least: usize, most: usize) -> Option<i64> {
    let count = rest.iter().take(most).take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, left) = rest.split_at_checked(count).filter(|_| count >= least)?;
    *rest = left;
    Some(digits.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')))
}

/// A point or a comma and digits; digits beyond nanoseconds are cut.
fn fraction(rest: &mut &[u8]) -> i64 {
    let Some((b'.' | b',', digits)) = rest.split_first() else { return 0 };
    let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let Some((digits, left)) = digits.split_at_checked(count).filter(|_| count > 0) else { return 0 };
    *rest = left;
    let digits = digits.iter().copied().chain(std::iter::repeat(b'0')).take(9);
    digits.fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'))
}

/// The offset in seconds east of UTC, to the end of the string.
fn zone(rest: &[u8]) -> Option<i64> {
    let (sign, mut rest) = rest.split_first()?;
    let sign = match sign {
        b'Z' => return rest.is_empty().then_some(0),
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let hours = number(&mut rest, 2, 2)?;
    let minutes = number(after(&mut rest, b':')?, 2, 2)?;
    (rest.is_empty() && hours <= 24 && minutes <= 60).then_some(sign * (hours * 60 + minutes) * 60)
}

fn days(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970, for years that begin in March.
fn since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month > 2 { year } else { year - 1 };
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}
