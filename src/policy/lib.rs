//! The law: sources become a [`Bundle`], a bundle compiles into a [`PolicySet`], and a set answers which
//! policies apply to a request and what they find.
//!
//! Nothing here knows HTTP, SQL or Kubernetes clients. Only [`engine`] names the Rego engine; the rest of the
//! crate sees [`Value`].

pub mod bundle;
pub mod combine;
pub mod effective;
pub mod finding;
pub mod layers;
pub mod live;
pub mod manifest;
pub mod metadata;
pub mod params;
pub mod registration;
pub mod select;
pub mod set;
pub mod source;
pub mod testing;
pub mod verdicts;

pub use bundle::Bundle;
pub use finding::{Details, Finding};
pub use live::Live;
pub use manifest::{Manifest, Mode, OnError, Operation, Severity};
pub use portcullis_rego::{Budget, Meter, Module, Object, Problem, Problems, Value};
pub use select::{Plan, Query};
pub use set::{Broken, Policy, PolicySet};
