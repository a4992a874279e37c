//! Escapes characters that are invisible or that reorder the text around them (CVE-2021-42574).

use std::io;

use serde_json::ser::Formatter;

/// Whether a character is visible and does not reorder its neighbours.
pub fn is_visible(c: char) -> bool {
    !c.is_control() && !is_bidi_or_separator(c)
}

/// Separators count, because some terminals break lines at them.
const fn is_bidi_or_separator(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// JSON on one line in which every character is visible. JSON only requires escapes below U+0020, so a name in an object
/// could reorder a line of the log in a terminal.
#[derive(Debug, Clone, Copy)]
pub struct EscapeInvisible;

impl Formatter for EscapeInvisible {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        if fragment.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            return writer.write_all(fragment.as_bytes());
        }
        let mut rest = fragment;
        while let Some((at, c)) = rest.char_indices().find(|(_, c)| !is_visible(*c)) {
            let (before, after) = rest.split_at(at);
            // Each is in the first plane, so it is one UTF-16 unit.
            write!(writer, "{before}\\u{:04x}", u32::from(c))?;
            rest = after.get(c.len_utf8()..).unwrap_or_default();
        }
        writer.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use serde::Serialize as _;

    use super::*;

    fn written(text: &str) -> String {
        let mut out = Vec::new();
        text.serialize(&mut serde_json::Serializer::with_formatter(&mut out, EscapeInvisible)).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn invisible_characters_are_escaped_and_parse_back() {
        for (text, expected) in [
            ("web", r#""web""#),
            ("größe 漢字 🚀 \"q\" \\", r#""größe 漢字 🚀 \"q\" \\""#),
            ("a\u{202e}b\u{202c}", r#""a\u202eb\u202c""#),
            (
                "\u{61c}\u{200e}\u{200f}\u{2028}\u{2029}\u{2066}\u{2069}\u{feff}",
                r#""\u061c\u200e\u200f\u2028\u2029\u2066\u2069\ufeff""#,
            ),
            ("\n\u{1b}\u{7f}\u{9b}", r#""\n\u001b\u007f\u009b""#),
        ] {
            assert_eq!(written(text), expected);
            assert_eq!(serde_json::from_str::<String>(expected).unwrap(), text);
        }
    }

    #[test]
    fn every_character_outside_the_first_plane_is_visible() {
        assert!(('\u{10000}'..=char::MAX).all(is_visible));
    }
}
