//! Where bundles come from.

pub mod configmaps;
pub mod dir;
pub mod embedded;
pub mod kept;

use std::path::PathBuf;

use super::{Bundle, Problems};

/// A source of law.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The library inside the binary.
    Embedded,
    /// A directory, watched while serving.
    Dir(PathBuf),
}

impl Source {
    /// Reads the whole bundle once.
    ///
    /// # Errors
    /// What cannot be read, by file.
    pub fn read(&self) -> Result<Bundle, Problems> {
        match self {
            Self::Embedded => embedded::read(),
            Self::Dir(path) => dir::read(path),
        }
    }
}
