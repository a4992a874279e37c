//! Policies: sources become a [`Bundle`], a bundle compiles into a [`PolicySet`], and a set selects the policies that match a
//! request and evaluates them. The crate knows no HTTP and no SQL, and only the `rego` crate names the Rego engine.

pub mod bundle;
mod combine;
pub mod effective;
mod finding;
pub mod layers;
pub mod manifest;
pub mod metadata;
mod params;
pub mod policy_cell;
pub mod registration;
pub mod rego_tests;
pub mod select;
pub mod set;
pub mod source;
pub mod verdict_cache;

pub use bundle::Bundle;
pub use finding::{Details, Finding};
pub use manifest::{Manifest, Mode, OnError, Operation, Severity};
pub use policy_cell::PolicyCell;
pub use portcullis_rego::{Budget, Meter, Module, Object, Problem, Problems, Value};
pub use select::{Plan, Query};
pub use set::{BrokenPolicy, Policy, PolicySet};
