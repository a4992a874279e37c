//! Two tenants on one cluster, and people of theirs: what the tests of apps, sandboxes and catalog begin with.

use portcullis_access::{Role, TenantRef};
use serde_json::{Value, json};

use super::harness::{Answer, Caller, On, Server};

/// `acme` with the project `shop`, `globex` with the project `web`.
pub struct Shop {
    pub server: Server,
    pub admin: Caller,
    /// Of acme, as the following.
    pub owner: Caller,
    pub dev: Caller,
    pub reader: Caller,
    /// Owns globex.
    pub stranger: Caller,
    pub acme: TenantRef,
    pub globex: TenantRef,
    /// UUID of `shop`.
    pub project: String,
}

/// Where `shop` is.
pub const SHOP: &str = "/api/v1/clusters/eu-1/tenants/acme/projects/shop";
/// And `web`.
pub const WEB: &str = "/api/v1/clusters/eu-1/tenants/globex/projects/web";

impl Shop {
    pub fn open(on: On) -> Self {
        Self::of(Server::judging(on))
    }

    /// The same, with a log of these directives.
    pub fn logging(on: On, directives: &str) -> Self {
        let rates = ["--api-rate", "100000", "--api-burst", "100000"];
        Self::of(Server::with(
            on,
            &[&rates[..], &["--log-level", directives, "--log-format", "json"]].concat(),
        ))
    }

    fn of(server: Server) -> Self {
        let admin = server.admin();
        admin.post("/api/v1/clusters", &json!({ "name": "eu-1" })).ok(201);
        admin.post("/api/v1/clusters", &json!({ "name": "eu-2" })).ok(201);
        let registries = json!({ "value": {
            "ceiling": ["registry.example.com", "docker.io/library", "docker.io/istio"],
            "platform": ["docker.io/istio"],
        } });
        admin.put("/api/v1/settings/registries", &registries).ok(200);
        let tenant = |slug: &str, registries: Value| {
            let body = json!({ "name": slug, "registries": registries, "plan": "baseline" });
            let id =
                admin.post("/api/v1/clusters/eu-1/tenants", &body).ok(201)["id"].as_str().unwrap().to_owned();
            TenantRef { id, slug: slug.to_owned() }
        };
        let acme = tenant("acme", json!(["registry.example.com/tenants/acme", "docker.io/library"]));
        let globex = tenant("globex", json!(["registry.example.com/tenants/globex"]));
        let project = |tenant: &str, slug: &str| {
            let path = format!("/api/v1/clusters/eu-1/tenants/{tenant}/projects");
            admin.post(&path, &json!({ "name": slug })).ok(201)["id"].as_str().unwrap().to_owned()
        };
        let shop = project("acme", "shop");
        project("globex", "web");
        let somebody = |name: &str, role, tenant| server.somebody(name, role, Some(tenant));
        Self {
            owner: somebody("olga", Role::TenantOwner, &acme),
            dev: somebody("dev", Role::ProjectDev, &acme),
            reader: somebody("rita", Role::ReadOnly, &acme),
            stranger: somebody("steve", Role::TenantOwner, &globex),
            admin,
            acme,
            globex,
            project: shop,
            server,
        }
    }

    /// Makes an app of an image.
    #[track_caller]
    pub fn app(&self, name: &str, image: &str) -> Value {
        self.owner.post(&format!("{SHOP}/apps"), &app(name, image)).ok(201)
    }

    /// Lets names of what was deleted be taken again at once.
    #[track_caller]
    pub fn free_names(&self) {
        self.admin.put("/api/v1/settings/nameReuse", &json!({ "value": { "hours": 0 } })).ok(200);
    }

    /// One number, by SQL.
    pub fn count(&self, statement: &str) -> i64 {
        self.server.ask(statement).parse().unwrap()
    }

    /// The actions in acme's chain of the audit log, in order.
    pub fn audited(&self) -> Vec<String> {
        let chain = format!("SELECT action FROM audit_log WHERE chain = '{}' ORDER BY seq", self.acme.id);
        self.server.ask(&chain).lines().map(str::to_owned).collect()
    }
}

/// A body for a new app.
pub fn app(name: &str, image: &str) -> Value {
    json!({ "name": name, "spec": { "source": { "containerImage": { "image": image } } } })
}

/// An image that acme may use.
pub const IMAGE: &str = "registry.example.com/tenants/acme/web:1";

/// The names of a list.
pub fn names(answer: &Answer, key: &str) -> Vec<String> {
    let body = answer.ok(200);
    let items = body["items"].as_array().unwrap();
    items.iter().map(|item| item[key].as_str().unwrap().to_owned()).collect()
}

/// A pointer into a copy of a value is set; null takes away what is there.
pub fn with(mut body: Value, pointer: &str, value: Value) -> Value {
    let (parent, last) = pointer.rsplit_once('/').unwrap();
    if body.pointer(parent).is_none() {
        body = with(body, parent, json!({}));
    }
    let parent = body.pointer_mut(parent).unwrap();
    match parent {
        Value::Array(items) => items[last.parse::<usize>().unwrap()] = value,
        _ if value.is_null() => drop(parent.as_object_mut().unwrap().remove(last)),
        _ => parent[last] = value,
    }
    body
}
