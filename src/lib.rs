//! The command line of Portcullis, which combines its crates.
//!
//! `docs/architecture.md` describes each crate, and walks through a review, a policy change and a shutdown.

pub mod cli;
