//! Where bundles come from: the library in the binary, a directory, ConfigMaps, or the last good policies on disk.

pub mod configmaps;
pub mod dir;
pub mod last_good;

use std::path::PathBuf;

use include_dir::{Dir, DirEntry, include_dir};

use super::{Bundle, Problems};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The policies that are built into the binary.
    Embedded,
    /// A directory, which `serve` watches.
    Dir(PathBuf),
}

impl Source {
    pub fn read(&self) -> Result<Bundle, Problems> {
        match self {
            Self::Embedded => read_embedded(),
            Self::Dir(path) => dir::read(path),
        }
    }
}

static LIBRARY: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../policies");

/// The policies that are built into the binary, without their tests.
pub fn read_embedded() -> Result<Bundle, Problems> {
    let mut library = Bundle::from_files(embedded_files())?;
    library.tests = Vec::new();
    // A unit test checks the parameters against their schemas; doing it at every start costs a megabyte.
    library.params_checked = true;
    Ok(library)
}

pub fn embedded_files() -> Vec<(String, Vec<u8>)> {
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
    fn parameters_of_the_library_fit_their_schemas() {
        let library = Bundle { params_checked: false, ..read_embedded().unwrap() };
        let set = PolicySet::compile(&library, Options::default(), None).unwrap();
        assert!(set.policies.iter().any(|policy| policy.manifest.params_schema.is_some()));
    }
}
