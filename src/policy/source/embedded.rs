//! The library inside the binary: the law where no `--policies` is given.

use include_dir::{Dir, DirEntry, include_dir};

use crate::policy::{Bundle, Problems};

static LIBRARY: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/policies");

/// Reads it.
///
/// # Errors
/// None that a test has not found before.
pub fn read() -> Result<Bundle, Problems> {
    Bundle::from_files(files())
}

/// Every file of the library: path and contents.
pub fn files() -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut open = vec![&LIBRARY];
    while let Some(dir) = open.pop() {
        for entry in dir.entries() {
            match entry {
                DirEntry::Dir(dir) => open.push(dir),
                DirEntry::File(file) => {
                    found.push((file.path().to_string_lossy().replace('\\', "/"), file.contents().to_vec()));
                }
            }
        }
    }
    found
}
