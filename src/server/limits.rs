//! Limits on what clients may use: connections, requests in flight, memory of bodies, and processor time.

mod body;
mod inflight;
mod memory;
mod queue;
mod rejection;
mod tenant;

pub use body::BodyOwner;
pub(crate) use body::{BodyLimits, read_body};
pub(crate) use inflight::{Caller, ConnectionLimit, InflightLimit, UnsentResponse};
pub use memory::SMALL_BODY_BYTES;
pub use queue::{WorkerPool, WorkerSlot};
pub use rejection::Rejection;
pub(crate) use rejection::plain;
pub use tenant::{CpuUsage, PerTenantGuard, PerTenantLimit, ReviewCost};
