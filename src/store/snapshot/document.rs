//! Writes the document as JSON, entry by entry, because a tree would take fifteen times the memory; and converts it to older
//! formats. A build with a new key increments [`FORMAT_VERSION`] and adds a step to [`STEPS`]. What an older format cannot
//! express must become stricter: a tenant with an unknown restriction is `suspended` there.

use serde_json::Value;

use crate::error::StoreError;
use portcullis_tenancy::snapshot::FORMAT_VERSION;

pub(super) struct DocumentWriter {
    text: Vec<u8>,
    /// Whether a table is open.
    table: bool,
    /// Whether a comma precedes the next key.
    comma: bool,
}

impl DocumentWriter {
    pub(super) fn new() -> Self {
        Self { text: b"{".to_vec(), table: false, comma: false }
    }

    /// A field; must be written before the tables.
    pub(super) fn put(&mut self, key: &str, value: &Value) -> Result<(), StoreError> {
        self.key(key)?;
        self.value(value)
    }

    /// Ends the current table and begins another one.
    pub(super) fn open(&mut self, key: &str) -> Result<(), StoreError> {
        self.end_table();
        self.key(key)?;
        self.text.push(b'{');
        (self.table, self.comma) = (true, false);
        Ok(())
    }

    pub(super) fn entry(&mut self, key: &str, value: Value) -> Result<(), StoreError> {
        self.key(key)?;
        self.value(&without_nulls(value))
    }

    pub(super) fn close(mut self) -> Vec<u8> {
        self.end_table();
        self.text.push(b'}');
        self.text
    }

    fn end_table(&mut self) {
        if self.table {
            self.text.push(b'}');
            (self.table, self.comma) = (false, true);
        }
    }

    fn key(&mut self, key: &str) -> Result<(), StoreError> {
        if self.comma {
            self.text.push(b',');
        }
        self.comma = true;
        serde_json::to_writer(&mut self.text, key).map_err(serialize_error)?;
        self.text.push(b':');
        Ok(())
    }

    fn value(&mut self, value: &Value) -> Result<(), StoreError> {
        serde_json::to_writer(&mut self.text, value).map_err(serialize_error)
    }
}

pub(super) fn without_nulls(mut value: Value) -> Value {
    if let Value::Object(fields) = &mut value {
        fields.retain(|_, value| !value.is_null());
    }
    value
}

fn serialize_error(source: serde_json::Error) -> StoreError {
    StoreError::Document { what: "the snapshot".to_owned(), source }
}

pub const FORMAT_MIN: u32 = 1;

/// Converts a document of one format to the previous format.
type Downgrade = fn(&mut Value);

/// By resulting format, starting with [`FORMAT_MIN`].
const STEPS: &[Downgrade] = &[];

const _: () = assert!(STEPS.len() == (FORMAT_VERSION - FORMAT_MIN) as usize, "each format has its step down");

/// Also accepts a merge patch.
pub fn render_down(document: &mut Value, format: u32) {
    run(document, format, STEPS);
}

pub fn render_text_down(document: Vec<u8>, format: u32) -> Result<Vec<u8>, StoreError> {
    if format >= FORMAT_VERSION {
        return Ok(document);
    }
    let unreadable = |source| StoreError::Document { what: "the snapshot".to_owned(), source };
    let mut document: Value = serde_json::from_slice(&document).map_err(unreadable)?;
    render_down(&mut document, format);
    serde_json::to_vec(&document).map_err(unreadable)
}

fn run(document: &mut Value, format: u32, steps: &[Downgrade]) {
    let first = format.saturating_sub(FORMAT_MIN) as usize;
    steps.iter().skip(first).rev().for_each(|step| step(document));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn document_is_json_of_its_parts() {
        let mut document = DocumentWriter::new();
        document.put("version", &1.into()).unwrap();
        document.open("tenants").unwrap();
        document.entry("a\"b", json!({"id": 1, "plan": null})).unwrap();
        document.entry("c", json!({})).unwrap();
        document.open("empty").unwrap();
        document.open("last").unwrap();
        document.entry("d", json!([null])).unwrap();
        let read: Value = serde_json::from_slice(&document.close()).unwrap();
        let expected = json!({"version": 1, "tenants": {"a\"b": {"id": 1}, "c": {}}, "empty": {}, "last": {"d": [null]}});
        assert_eq!(read, expected);
    }

    #[test]
    fn steps_run_from_the_newest_format_down_to_the_requested_one() {
        fn note(document: &mut Value, step: &str) {
            document.as_array_mut().unwrap().push(step.into());
        }
        let steps: &[Downgrade] = &[|document| note(document, "2 to 1"), |document| note(document, "3 to 2")];
        for (format, expected) in
            [(1, json!(["3 to 2", "2 to 1"])), (2, json!(["3 to 2"])), (3, json!([])), (9, json!([]))]
        {
            let mut document = json!([]);
            run(&mut document, format, steps);
            assert_eq!(document, expected, "{format}");
        }
    }
}
