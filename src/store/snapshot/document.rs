//! The whole document as JSON, written entry by entry: as a tree it would take fifteen times its length in memory.

use serde_json::Value;

use super::without_nulls;
use crate::error::StoreError;

/// A document in the making.
pub(super) struct Document {
    text: Vec<u8>,
    /// Whether a table is open.
    table: bool,
    /// Whether a comma goes before the next key.
    comma: bool,
}

impl Document {
    pub(super) fn new() -> Self {
        Self { text: b"{".to_vec(), table: false, comma: false }
    }

    /// A field of the document; to be written before its tables.
    pub(super) fn put(&mut self, key: &str, value: &Value) -> Result<(), StoreError> {
        self.key(key)?;
        self.value(value)
    }

    /// Ends the table before, and begins one.
    pub(super) fn open(&mut self, key: &str) -> Result<(), StoreError> {
        self.end_table();
        self.key(key)?;
        self.text.push(b'{');
        (self.table, self.comma) = (true, false);
        Ok(())
    }

    /// An entry of the open table, without its nulls.
    pub(super) fn entry(&mut self, key: &str, value: Value) -> Result<(), StoreError> {
        self.key(key)?;
        self.value(&without_nulls(value))
    }

    /// The text.
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
        serde_json::to_writer(&mut self.text, key).map_err(unwritten)?;
        self.text.push(b':');
        Ok(())
    }

    fn value(&mut self, value: &Value) -> Result<(), StoreError> {
        serde_json::to_writer(&mut self.text, value).map_err(unwritten)
    }
}

fn unwritten(source: serde_json::Error) -> StoreError {
    StoreError::Document { what: "the snapshot".to_owned(), source }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn document_is_json_of_its_parts() {
        let mut document = Document::new();
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
}
