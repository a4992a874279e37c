//! The document for readers that are older than this build.
//!
//! A build that decides by a new key counts [`FORMAT_VERSION`] up and adds a step here, which writes the document, or a merge
//! patch over one, as the version before has it. What that version cannot say must come out stricter, never looser: a
//! tenant under a restriction that it does not know is `suspended` there. A gate's state is of one format, so an API that
//! serves several must answer a patch only to a gate whose state has the same: it prefixes the digest, which gates give
//! back as it came.

use serde_json::Value;

use crate::error::StoreError;
use portcullis_tenancy::snapshot::FORMAT_VERSION;

/// The oldest format that is still rendered.
pub const FORMAT_MIN: u32 = 1;

/// Writes a document of one format as one of the format before.
type Step = fn(&mut Value);

/// By the format that comes out, beginning with [`FORMAT_MIN`].
const STEPS: &[Step] = &[];

const _: () = assert!(STEPS.len() == (FORMAT_VERSION - FORMAT_MIN) as usize, "each format has its step down");

/// Writes a document, or a patch over one, for a reader of this format.
pub fn render_down(document: &mut Value, format: u32) {
    run(document, format, STEPS);
}

/// The same of a document that is text.
///
/// # Errors
/// Never, as long as the text is JSON.
pub fn render_text_down(document: Vec<u8>, format: u32) -> Result<Vec<u8>, StoreError> {
    if format >= FORMAT_VERSION {
        return Ok(document);
    }
    let unreadable = |source| StoreError::Document { what: "the snapshot".to_owned(), source };
    let mut document: Value = serde_json::from_slice(&document).map_err(unreadable)?;
    render_down(&mut document, format);
    serde_json::to_vec(&document).map_err(unreadable)
}

fn run(document: &mut Value, format: u32, steps: &[Step]) {
    let first = format.saturating_sub(FORMAT_MIN) as usize;
    steps.iter().skip(first).rev().for_each(|step| step(document));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn steps_run_from_the_newest_down_to_what_is_read() {
        fn note(document: &mut Value, step: &str) {
            document.as_array_mut().unwrap().push(step.into());
        }
        let steps: &[Step] = &[|document| note(document, "2 to 1"), |document| note(document, "3 to 2")];
        for (format, expected) in
            [(1, json!(["3 to 2", "2 to 1"])), (2, json!(["3 to 2"])), (3, json!([])), (9, json!([]))]
        {
            let mut document = json!([]);
            run(&mut document, format, steps);
            assert_eq!(document, expected, "{format}");
        }
    }
}
