//! The world that a source is judged in: the settings, the tenant and the project as the transaction sees them, and the
//! app's namespace, whether it is there already or about to be.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::problem::Problem;
use portcullis_admission::World;
use portcullis_store::{Tx, snapshot};
use portcullis_tenancy::Snapshot;
use portcullis_tenancy::name;

/// Whose image it is to be.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Slug of the tenant.
    pub tenant: &'a str,
    /// Slug of the project.
    pub project: &'a str,
    /// UUID of the app, or of what stands for one.
    pub id: &'a str,
    /// Slug of the app.
    pub app: &'a str,
}

/// Stands for the tenants that a global item is for: what the ceiling admits is admitted.
const EVERYBODY: &str = "everybody";

/// Stands for a project and an app that are not there yet.
const SOMETHING: &str = "item";

/// Their ids, which no row of a ledger has.
const NOBODY: [&str; 3] = [
    "00000000-0000-7000-8000-000000000001",
    "00000000-0000-7000-8000-000000000002",
    "00000000-0000-7000-8000-000000000003",
];

/// A world with an app in it, and the name of the app's namespace.
///
/// # Errors
/// 503 and 500 where the ledger cannot be read.
pub async fn of(tx: &mut Tx, subject: &Subject<'_>) -> Result<(World, String), Problem> {
    let document = snapshot::around(tx, Some(subject.tenant), Some(subject.project)).await?;
    build(Value::Object(document), subject)
}

/// A world for an item of the catalog: of a tenant, by slug, or of everybody.
///
/// # Errors
/// As [`of`].
pub async fn of_item(tx: &mut Tx, tenant: Option<&str>) -> Result<(World, String), Problem> {
    let [everybody, project, app] = NOBODY;
    let mut document = Value::Object(snapshot::around(tx, tenant, None).await?);
    if tenant.is_none() {
        let everybody = json!({ "id": everybody, "status": "active", "groups": [], "registries": "inherit" });
        json_patch::merge(&mut document, &json!({ "tenants": { EVERYBODY: everybody } }));
    }
    let tenant = tenant.unwrap_or(EVERYBODY);
    let something = json!({ "projects": { format!("{tenant}/{SOMETHING}"): { "id": project } } });
    json_patch::merge(&mut document, &something);
    build(document, &Subject { tenant, project: SOMETHING, id: app, app: SOMETHING })
}

fn build(mut document: Value, subject: &Subject<'_>) -> Result<(World, String), Problem> {
    let Subject { tenant, project, id, app } = *subject;
    let prefix = document.pointer("/settings/prefix").and_then(Value::as_str).unwrap_or(name::PREFIX);
    let namespace = name::app(prefix, tenant, project, app).map_err(|error| Problem::internal(&error))?;
    let own = json!({ "kind": "app", "tenant": tenant, "project": project, "app": app });
    let app = json!({
        "apps": { format!("{tenant}/{project}/{app}"): { "id": id } },
        "namespaces": { &*namespace: own },
    });
    json_patch::merge(&mut document, &app);
    let snapshot = Snapshot::parse("ledger.json", document.to_string().as_bytes());
    let snapshot = snapshot.map_err(|error| Problem::internal(&error))?;
    Ok((World::new(Arc::new(snapshot)), namespace))
}
