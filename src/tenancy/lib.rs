//! The domain: slugs, namespace names, image references, requesters, and the snapshot of the ledger.
//!
//! Depends on serde and its formats only. Text that ends in a policy's input is an `Arc<str>`, so that a review
//! shares it with the snapshot.

pub mod breakglass;
pub mod credentials;
pub mod example;
pub mod image;
pub mod label;
pub mod name;
pub mod quantity;
pub mod registered;
pub mod registries;
pub mod requester;
pub mod resource;
pub mod settings;
pub mod slug;
pub mod snapshot;
pub mod source;
mod text;

pub use image::{EntryError, Image, RegistryEntry};
pub use label::{Selector, SelectorError};
pub use name::NameError;
pub use requester::{Class, Requester, classify};
pub use resource::{Pattern, PatternError};
pub use slug::SlugError;
pub use snapshot::{
    App, Kind, Namespace, Project, Registries, Settings, Snapshot, SnapshotError, Status, Tenant, Unit,
};
pub use text::is_uuid;
