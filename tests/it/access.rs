//! Who may do what: the documented table, and issuers as they are met in the world.

mod issuer; // an OpenID provider over HTTPS

use crate::support::root;
use portcullis_access::matrix;

const BEGIN: &str = "<!-- matrix -->\n";
const END: &str = "<!-- /matrix -->";

#[test]
fn the_documented_table_is_the_one_that_is_asked() {
    let path = root().join("docs/access.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let begin = text.find(BEGIN).expect("docs/access.md has a table") + BEGIN.len();
    let end = text.find(END).expect("docs/access.md says where its table ends");
    let table = format!("\n{}\n", matrix::markdown());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, format!("{}{table}{}", &text[..begin], &text[end..])).unwrap();
        return;
    }
    assert!(
        text[begin..end] == table,
        "docs/access.md differs from src/access/matrix/table.rs (UPDATE_GOLDEN=1 writes it anew):\n{table}"
    );
}
