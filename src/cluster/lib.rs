//! Reads from and writes to the Kubernetes API. Nothing here is on the path of a review.
//!
//! [`follow`] lists and watches, [`last_contact`] reports whether that works, [`view`] holds the Namespaces, and [`diff`]
//! compares them with the ledger. [`certificates`] and [`ca_bundle`] are the two controllers that write.

pub mod ca_bundle;
pub mod certificates;
pub mod client;
pub mod configmaps;
pub mod diff;
pub mod error;
pub mod events;
pub mod follow;
pub mod last_contact;
pub mod lease;
pub mod list;
pub mod probe;
pub mod registration;
pub mod view;

pub use client::{Cluster, ClusterArgs};
pub use error::{ClusterError, Need};
