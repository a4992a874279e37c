//! Parts of the snapshot, as a transaction names what it touches.

use serde::{Deserialize, Serialize};

/// A part of the snapshot that can change by itself. Slugs and names, because that is what the document is keyed by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Part {
    /// The settings, and with them every tenant's registries, which the ceiling bounds.
    Settings,
    /// A tenant by slug: its own fields, not its projects.
    Tenant(String),
    /// A project by the slugs of tenant and project.
    Project(String, String),
    /// An app by the slugs of tenant, project and app.
    App(String, String, String),
    /// A namespace by its name.
    Namespace(String),
    /// An exception by its id.
    Exception(String),
    /// A break-glass document by its id.
    Breakglass(String),
    /// The bundle of policies. It is no part of the document; touching it gives a revision, which wakes the gates.
    Bundle,
}
