//! What may stand behind the `#` of an identity.

use thiserror::Error;

/// As OpenID Connect has it.
pub const BYTES_MAX: usize = 255;

/// Why a text is no subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SubjectError {
    /// Nothing, or more than any issuer gives.
    #[error("a subject has 1 to {BYTES_MAX} bytes")]
    Length,
    /// A character that could be mistaken for another, or for none.
    #[error("a subject holds no spaces, no control characters and nothing invisible")]
    Character,
}

/// Checks a subject. It is compared byte by byte, and shown to people who decide by it: what they cannot see must not
/// tell two subjects apart.
pub fn check(subject: &str) -> Result<(), SubjectError> {
    if subject.is_empty() || subject.len() > BYTES_MAX {
        return Err(SubjectError::Length);
    }
    let invisible = |c: char| {
        c.is_control()
            || c.is_whitespace()
            || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff0}'..='\u{ffff}' | '\u{e0000}'..='\u{e0fff}')
    };
    if subject.chars().any(invisible) { Err(SubjectError::Character) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects() {
        for good in [
            "a",
            "alice@example.com",
            "system:serviceaccount:ns:name",
            "a#b",
            "José",
            "0oa1|x",
            &"x".repeat(255),
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("", SubjectError::Length),
            (&*"x".repeat(256), SubjectError::Length),
            ("alice bob", SubjectError::Character),
            ("alice\n", SubjectError::Character),
            ("alice\0", SubjectError::Character),
            ("ali\u{200b}ce", SubjectError::Character),
            ("\u{202e}ecila", SubjectError::Character),
            ("alice\u{feff}", SubjectError::Character),
            ("alice\u{e0061}", SubjectError::Character),
            ("a\u{a0}b", SubjectError::Character),
        ] {
            assert_eq!(check(bad), Err(why), "{bad:?}");
        }
    }
}
