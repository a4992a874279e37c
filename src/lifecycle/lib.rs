//! Readiness, drain and named tasks: how the process says that it is well, and how it ends.
//!
//! - [`ready`]: what has to be there before traffic may come, and may go bad again.
//! - [`drain`]: the first signal drains, the second aborts, and the type of the answer says which.
//! - [`tasks`]: background work with names; none is detached, and a death is reported.
//!
//! This closet knows no other room: who is ready and what drains is handed in.

pub mod drain;
pub mod ready;
pub mod tasks;
pub mod watch;
