//! A server with a cluster, a ceiling and tenants to try things on.

use portcullis_access::{Role, TenantRef};
use serde_json::{Value, json};

use super::harness::{Answer, Caller, On, Server};

/// Of the one cluster.
pub const CLUSTER: &str = "/api/v1/clusters/eu-1";

/// A server with the cluster `eu-1`, another `us-1`, and a ceiling.
pub struct House {
    pub server: Server,
    pub admin: Caller,
}

impl House {
    /// Lets names of what was deleted be taken again at once.
    #[track_caller]
    pub fn free_names(&self) {
        self.admin.put("/api/v1/settings/nameReuse", &json!({ "value": { "hours": 0 } })).ok(200);
    }

    pub fn build() -> Self {
        Self::on(On::Sqlite)
    }

    pub fn on(on: On) -> Self {
        let server = Server::with(on, &["--api-rate", "100000", "--api-burst", "100000"]);
        let admin = server.admin();
        for name in ["eu-1", "us-1"] {
            admin.post("/api/v1/clusters", &json!({ "name": name })).ok(201);
        }
        let house = Self { server, admin };
        house.ceiling(&["ghcr.io", "docker.io/library"]);
        house
    }

    pub fn ceiling(&self, entries: &[&str]) -> Value {
        let value = json!({ "value": { "ceiling": entries, "platform": [] } });
        self.admin.put("/api/v1/settings/registries", &value).ok(200)
    }

    /// Makes a tenant on the cluster.
    pub fn tenant(&self, name: &str) -> TenantRef {
        let body = self.admin.post(&format!("{CLUSTER}/tenants"), &json!({ "name": name })).ok(201);
        TenantRef { id: body["id"].as_str().unwrap().to_owned(), slug: name.to_owned() }
    }

    /// Makes a project; its id.
    pub fn project(&self, tenant: &str, name: &str) -> String {
        let path = format!("{CLUSTER}/tenants/{tenant}/projects");
        let body = self.admin.post(&path, &json!({ "name": name })).ok(201);
        body["id"].as_str().unwrap().to_owned()
    }

    pub fn owner(&self, tenant: &TenantRef) -> Caller {
        self.server.somebody("owner", Role::TenantOwner, Some(tenant))
    }

    /// Somebody whose token is limited to projects, by id.
    pub fn limited(&self, name: &str, role: Role, tenant: &TenantRef, projects: &[&str]) -> Caller {
        let projects = projects.iter().map(|id| (*id).to_owned()).collect();
        self.server.bearing(&self.server.token_for(name, role, Some(tenant), Some(projects)))
    }

    /// The snapshot at this pointer, as the ledger has it now.
    pub fn seen(&self, pointer: &str) -> Value {
        use portcullis_access::{Action, Identity, authorize};
        let scope = authorize(&Identity::process("test"), Action::Snapshot, None, "test").unwrap();
        self.server.runtime.block_on(async {
            let mut tx = self.server.ledger.read(&scope).await.unwrap();
            let whole: serde_json::Value =
                serde_json::from_slice(&portcullis_store::snapshot::whole(&mut tx, None).await.unwrap())
                    .unwrap();
            tx.rollback().await.unwrap();
            // Whatever the ledger says, a gate must take.
            let text = whole.to_string();
            portcullis_tenancy::Snapshot::parse("snapshot.json", text.as_bytes()).unwrap();
            whole.pointer(pointer).cloned().unwrap_or(Value::Null)
        })
    }

    /// The newest audit row of this action: who, before, after.
    pub fn told(&self, action: &str) -> (String, Value, Value) {
        use portcullis_access::{Action, Identity, authorize};
        let scope = authorize(&Identity::process("test"), Action::AuditList, None, "test").unwrap();
        let row: (String, Option<String>, Option<String>) = self.server.runtime.block_on(async {
            let mut tx = self.server.ledger.read(&scope).await.unwrap();
            let row = sqlx::query_as(
                "SELECT actor, before, after FROM audit_log WHERE action = $1 ORDER BY at DESC, seq DESC LIMIT 1",
            )
            .bind(action.to_owned())
            .fetch_one(tx.sql())
            .await
            .unwrap_or_else(|error| panic!("{action}: {error}"));
            tx.rollback().await.unwrap();
            row
        });
        let read =
            |text: Option<String>| text.map_or(Value::Null, |text| serde_json::from_str(&text).unwrap());
        (row.0, read(row.1), read(row.2))
    }
}

/// One field of a body, and what is said of it: the field's pointer, its value, the status, the code, the pointers of the
/// faults. A good one has the status alone.
pub type Case<'a> = (&'a str, Value, u16, &'a str, &'a [&'a str]);

/// Sends each case in a body that is otherwise good.
#[track_caller]
pub fn bounds(send: impl Fn(&Value) -> Answer, base: &Value, cases: &[Case<'_>]) {
    for (field, value, status, code, pointers) in cases {
        let mut body = base.clone();
        set(&mut body, field, value.clone());
        let answer = send(&body);
        let shown: String = body.to_string().chars().take(300).collect();
        assert_eq!(answer.status, *status, "{shown}\n{}", answer.text);
        if *status >= 400 {
            let (_, found, mut at) = answer.problem();
            at.sort();
            at.dedup();
            let expected: Vec<String> = pointers.iter().map(|at| (*at).to_owned()).collect();
            assert_eq!((found.as_str(), at), (*code, expected), "{shown}\n{}", answer.text);
        }
    }
}

fn set(body: &mut Value, field: &str, value: Value) {
    if field.is_empty() {
        *body = value;
        return;
    }
    let (parent, name) = field.rsplit_once('/').unwrap();
    let name = name.replace("~1", "/").replace("~0", "~");
    body.pointer_mut(parent).unwrap().as_object_mut().unwrap().insert(name, value);
}
