//! The command line of Portcullis, and the composition of its crates.
//!
//! `docs/architecture.md` describes each crate, and walks through a review, a policy change and a shutdown.

pub mod cli;
