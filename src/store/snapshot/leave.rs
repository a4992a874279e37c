//! Leave from laws, as gates learn of it: exceptions that are granted, break-glass documents as they were signed.
//!
//! Neither looks at the time. What is over is taken out by the reaper, in a change of its own, so that the document is the
//! same whenever it is rendered; gates look at the time themselves.

use serde_json::{Map, Value, json};
use sqlx::{AnyConnection, Row as _};

use crate::Time;
use crate::error::StoreError;
use crate::revision::parse;
use crate::select::Select;

type Found = Result<Map<String, Value>, StoreError>;

/// By id: `{policy, tenant, subjects, objects, expires}`.
pub(super) async fn exceptions(on: &mut AnyConnection, key: Option<&str>, cluster: Option<&str>) -> Found {
    let select = Select::new(
        "SELECT e.id, e.policy, t.slug, e.subjects, e.objects, e.expires_at \
         FROM exceptions e LEFT JOIN tenants t ON t.id = e.tenant_id WHERE e.state = 'active'",
    );
    let select = select.and("e.id = $?", key).and(
        "(e.tenant_id IS NULL OR EXISTS (SELECT 1 FROM tenant_clusters o \
         JOIN clusters c ON c.id = o.cluster_id WHERE o.tenant_id = e.tenant_id AND c.name = $?))",
        cluster,
    );
    let rows = select.order_by("e.id").query().fetch_all(on).await?;
    let mut found = Map::new();
    for row in &rows {
        let list = |column: &'static str| -> Result<Value, StoreError> {
            parse("a list of an exception", &row.try_get::<String, _>(column)?)
        };
        let exception = json!({
            "policy": row.try_get::<String, _>("policy")?,
            "tenant": row.try_get::<Option<String>, _>("slug")?,
            "subjects": list("subjects")?,
            "objects": list("objects")?,
            "expires": Time(row.try_get("expires_at")?),
        });
        found.insert(row.try_get("id")?, exception);
    }
    Ok(found)
}

/// By id: `{document, signature}`, or `{closed}`; nothing of those that ended by themselves.
pub(super) async fn breakglass(on: &mut AnyConnection, key: Option<&str>) -> Found {
    let select = Select::new(
        "SELECT id, document, signature, closed_at FROM breakglass \
         WHERE (closed_at IS NULL OR closed_at < expires_at)",
    );
    let rows = select.and("id = $?", key).order_by("id").query().fetch_all(on).await?;
    let mut found = Map::new();
    for row in &rows {
        let closed = row.try_get::<Option<i64>, _>("closed_at")?.is_some();
        let entry = if closed {
            json!({ "document": null, "signature": null, "closed": true })
        } else {
            let document: Value = parse("a break-glass document", &row.try_get::<String, _>("document")?)?;
            json!({ "document": document, "signature": row.try_get::<String, _>("signature")?, "closed": false })
        };
        found.insert(row.try_get("id")?, entry);
    }
    Ok(found)
}
