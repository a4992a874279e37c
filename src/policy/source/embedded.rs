//! The library inside the binary: the law where no `--policies` is given.

use include_dir::{Dir, DirEntry, include_dir};

use crate::{Bundle, Problems};

static LIBRARY: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../policies");

/// Reads it, less its tests, which nobody asks while serving.
///
/// # Errors
/// None that a test has not found before.
pub fn read() -> Result<Bundle, Problems> {
    let mut library = Bundle::from_files(files())?;
    library.tests = Vec::new();
    // A test holds them against each other, once a build; at every start it would cost a megabyte to do it again.
    library.fits = true;
    Ok(library)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PolicySet;
    use crate::set::Options;

    #[test]
    fn the_librarys_parameters_fit_their_schemas() {
        let library = Bundle { fits: false, ..read().unwrap() };
        let set = PolicySet::compile(&library, Options::default(), None).unwrap();
        assert!(set.policies.iter().any(|policy| policy.manifest.params_schema.is_some()));
    }
}
