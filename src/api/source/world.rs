//! The world that a source is judged in: the settings, the tenant and the project as the transaction sees them, and the
//! app's namespace, whether it is there already or about to be.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::admission::World;
use crate::api::problem::Problem;
use crate::store::{Part, Tx, snapshot};
use crate::tenancy::Snapshot;
use crate::tenancy::name;

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

/// Stands for an app that is not there yet.
const SOMETHING: &str = "item";

/// A world with an app in it, and the name of the app's namespace.
///
/// # Errors
/// 503 and 500 where the ledger cannot be read.
pub async fn of(tx: &mut Tx, subject: &Subject<'_>) -> Result<(World, String), Problem> {
    let parts = [
        Part::Settings,
        Part::Tenant(subject.tenant.to_owned()),
        Part::Project(subject.tenant.to_owned(), subject.project.to_owned()),
    ];
    build(tx, parts.into(), subject, json!({})).await
}

/// A world for an item of the catalog: of a tenant, by slug, or of everybody.
///
/// # Errors
/// As [`of`].
pub async fn of_item(tx: &mut Tx, tenant: Option<&str>) -> Result<(World, String), Problem> {
    let id = |last: u8| format!("00000000-0000-7000-8000-0000000000{last:02x}");
    let slug = tenant.unwrap_or(EVERYBODY);
    let mut parts = BTreeSet::from([Part::Settings]);
    let mut around = json!({ "projects": { format!("{slug}/{SOMETHING}"): { "id": id(1) } } });
    match tenant {
        Some(tenant) => drop(parts.insert(Part::Tenant(tenant.to_owned()))),
        None => {
            let everybody = json!({ "id": id(2), "status": "active", "groups": [], "registries": "inherit" });
            json_patch::merge(&mut around, &json!({ "tenants": { EVERYBODY: everybody } }));
        }
    }
    let app = id(3);
    let subject = Subject { tenant: slug, project: SOMETHING, id: &app, app: SOMETHING };
    build(tx, parts, &subject, around).await
}

async fn build(
    tx: &mut Tx,
    parts: BTreeSet<Part>,
    subject: &Subject<'_>,
    around: Value,
) -> Result<(World, String), Problem> {
    let Subject { tenant, project, id, app } = *subject;
    let ledger = tx.ledger().await?.ledger;
    let mut document = json!({ "ledger": ledger });
    // A patch over nothing is the document itself, for its nulls are laid down as absent.
    json_patch::merge(&mut document, &snapshot::patch(tx, &parts, None).await?);
    // New settings name every tenant, of the others nothing but what they change.
    if let Some(tenants) = document.get_mut("tenants").and_then(Value::as_object_mut) {
        tenants.retain(|slug, _| slug == tenant);
    }
    json_patch::merge(&mut document, &around);
    let prefix = document.pointer("/settings/prefix").and_then(Value::as_str).unwrap_or("tn");
    let namespace = name::app(prefix, tenant, project, app).map_err(|error| Problem::internal(&error))?;
    let own = json!({ "kind": "app", "tenant": tenant, "project": project, "app": app });
    let apps = json!({
        "apps": { format!("{tenant}/{project}/{app}"): { "id": id } },
        "namespaces": { &*namespace: own },
    });
    json_patch::merge(&mut document, &apps);
    let snapshot = Snapshot::parse("ledger.json", document.to_string().as_bytes());
    let snapshot = snapshot.map_err(|error| Problem::internal(&error))?;
    Ok((World::new(Arc::new(snapshot)), namespace))
}
