//! Readiness, drain, background tasks and file watching of a process.

pub mod drain;
pub mod ready;
pub mod tasks;
pub mod watch;
