#[path = "it/support.rs"]
mod support;
