//! A file of Rego.

/// A file of text, mostly Rego. A module is 2,000,000 bytes at most, which is far beyond what a person writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// Path inside the bundle, `/`-separated, as errors name it.
    pub path: String,
    /// The source text.
    pub text: String,
}
