//! Quoting of foreign text in messages, and checks of UUIDs and DNS names.

/// Longest foreign text in a message, in characters; the rest becomes `…`.
const SHOWN_CHARS_MAX: usize = 80;

/// `text` in backticks, cut, with control, bidi and invisible characters escaped, because errors reach terminals and
/// logs.
pub(super) fn quoted(text: &str) -> String {
    let mut shown = String::from("`");
    for (count, c) in text.chars().enumerate() {
        if count == SHOWN_CHARS_MAX {
            shown.push('…');
            break;
        }
        match c {
            '\'' | '"' | '\\' => shown.push(c),
            other => shown.extend(other.escape_debug()),
        }
    }
    shown.push('`');
    shown
}

/// Whether `text` is a UUID as the ledger writes it: lower case, hyphens at 8, 13, 18 and 23. Ids are compared as
/// text, so one spelling is allowed.
pub fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}

/// Whether `text` is a DNS subdomain in lower case, at most 253 characters, labels of at most 63.
pub(super) fn is_dns_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_dns_label)
}

/// Whether `text` is one DNS label in lower case: 1 to 63 of `[a-z0-9-]`, no hyphen at either end.
pub(super) fn is_dns_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_bounded_and_harmless() {
        assert_eq!(quoted("it's \"x\""), "`it's \"x\"`");
        assert_eq!(quoted("a\u{1b}[2J\u{202e}\n"), "`a\\u{1b}[2J\\u{202e}\\n`");
        assert_eq!(quoted(&"x".repeat(1 << 20)).chars().count(), SHOWN_CHARS_MAX + 3);
    }

    #[test]
    fn only_lower_case_hyphenated_uuids_are_accepted() {
        assert!(is_uuid("018f2b7c-0000-7000-8000-00000000000a"));
        for bad in
            ["", "018F2B7C-0000-7000-8000-00000000000A", "018f2b7c00007000800000000000000a", "{018f2b7c}"]
        {
            assert!(!is_uuid(bad), "{bad}");
        }
    }
}
