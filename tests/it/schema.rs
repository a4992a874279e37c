//! The JSON Schema of the snapshot is the one in `docs/`, and the world of the cases satisfies the reader it describes.

use crate::support::root;

#[test]
fn the_schema_in_docs_is_the_one_of_the_types() {
    let path = root().join("docs/snapshot.schema.json");
    let now = format!("{:#}\n", portcullis_tenancy::snapshot::schema());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap();
    assert!(
        there == now,
        "docs/snapshot.schema.json is not what the types say; UPDATE_GOLDEN=1 writes it anew"
    );
}
