//! Splits a YAML text at lines with `---`, which cannot occur inside a document.

use std::io::BufRead;
use std::sync::Arc;

use super::{Content, DOCUMENT_BYTES_MAX, Emit, Location, Piece, line};

/// Stops at a document that is too long.
pub(super) fn documents(source: &Arc<str>, reader: &mut dyn BufRead, emit: Emit<'_>) -> anyhow::Result<()> {
    let (mut text, mut begins, mut number) = (Vec::new(), 1, 0);
    loop {
        let before = text.len();
        let read = match line(reader, &mut text, DOCUMENT_BYTES_MAX) {
            Ok(read) => read,
            Err(error) => return emit(Piece::broken(source, number + 1, error.to_string())),
        };
        if read == 0 {
            return give(source, begins, &text, emit);
        }
        number += 1;
        if text.get(before..).is_some_and(separates) {
            let next = text.split_off(before);
            give(source, begins, &text, emit)?;
            (text, begins) = (next, number);
        }
    }
}

fn separates(line: &[u8]) -> bool {
    line.strip_prefix(b"---").is_some_and(|rest| rest.first().is_none_or(u8::is_ascii_whitespace))
}

/// A document of comments, or a directive before the first mark, is empty.
fn give(source: &Arc<str>, begins: usize, text: &[u8], emit: Emit<'_>) -> anyhow::Result<()> {
    let blank = |line: &[u8]| {
        let line = line.trim_ascii();
        line.is_empty()
            || line == b"---"
            || line == b"..."
            || line.starts_with(b"#")
            || line.starts_with(b"%")
    };
    let bare = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    if bare.split(|byte| *byte == b'\n').all(blank) {
        return Ok(());
    }
    match std::str::from_utf8(bare) {
        Ok(text) => {
            // Errors name the line of the first value, not of a comment above it.
            let above = text.lines().take_while(|line| blank(line.as_bytes())).count();
            let rest: String = text.split_inclusive('\n').skip(above).collect();
            let place = Location { source: Arc::clone(source), line: begins + above };
            emit(Piece { place, content: Content::Yaml(rest) })
        }
        Err(error) => {
            let good = bare.get(..error.valid_up_to()).unwrap_or_default();
            let line = begins + good.split(|byte| *byte == b'\n').count() - 1;
            emit(Piece::broken(source, line, "this is not UTF-8"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &[u8], expected: &[(usize, &str)]) {
        let mut found = Vec::new();
        documents(&Arc::from("x"), &mut &*text, &mut |piece| {
            let text = match piece.content {
                Content::Yaml(text) | Content::Broken(text) => text,
                Content::Json(text, _) => panic!("{text}"),
            };
            found.push((piece.place.line, text));
            Ok(())
        })
        .expect("reads");
        assert_eq!(found.iter().map(|(line, text)| (*line, text.as_str())).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn documents_with_their_lines() {
        check(
            b"# a\n\na: 1\n---\n# b\nb: |\n  ---\n--- # c\nc: 1\n---\n",
            &[(3, "a: 1\n"), (6, "b: |\n  ---\n"), (8, "--- # c\nc: 1\n")],
        );
        check(b"%YAML 1.2\n---\na: 1", &[(3, "a: 1")]);
        check(b"\xef\xbb\xbfa: 1", &[(1, "a: 1")]);
        check(b"a: 1\r\n---\r\nb: \xff\r\n", &[(1, "a: 1\r\n"), (3, "this is not UTF-8")]);
        check(b"", &[]);
    }
}
