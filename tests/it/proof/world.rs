//! The world of the shared cases as a ledger has it, made through the API, and the cases told in its ids.

use std::collections::BTreeMap;

use portcullis_admission::cases::{self, Case};
use serde_json::{Value, json};

use crate::feed::stage::Stage as Ledger;
use crate::support::{Gate, people, root};

pub const TENANTS: &str = "/api/v1/clusters/default/tenants";

/// A tenant that no review speaks of, for changes that must not change a verdict.
pub const BYSTANDER: &str = "umbrella";

fn written() -> Value {
    let text = std::fs::read_to_string(root().join("tests/cases/example-tenancy.yaml")).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

fn entries<'a>(world: &'a Value, table: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    world[table].as_object().unwrap().iter()
}

/// Makes everything that `example-tenancy.yaml` has.
pub fn make(ledger: &Ledger, api: &Gate) {
    let world = written();
    for key in ["registries", "identities", "connect", "workloadWrites"] {
        let value = json!({"value": world["settings"][key]});
        ledger.ok(api, "PUT", &format!("/api/v1/settings/{key}"), value);
    }
    ledger.ok(api, "POST", "/api/v1/clusters", json!({"name": "default"}));
    for (name, tenant) in entries(&world, "tenants") {
        let mut new = json!({"name": name, "plan": tenant["plan"]});
        if !tenant["registries"].is_null() {
            new["registries"] = tenant["registries"].clone();
        }
        ledger.ok(api, "POST", TENANTS, new);
    }
    ledger.ok(api, "POST", TENANTS, json!({"name": BYSTANDER}));
    for (path, _) in entries(&world, "projects") {
        let (tenant, project) = path.split_once('/').unwrap();
        ledger.ok(api, "POST", &format!("{TENANTS}/{tenant}/projects"), json!({"name": project}));
    }
    for (path, _) in entries(&world, "apps") {
        let [tenant, project, app] = path.split('/').collect::<Vec<_>>()[..] else { panic!("{path}") };
        let image = json!({"image": format!("registry.example.com/tenants/{tenant}/{app}"), "tag": "1.0.0"});
        let new = json!({"name": app, "spec": {"source": {"containerImage": image}}});
        ledger.ok(api, "POST", &format!("{TENANTS}/{tenant}/projects/{project}/apps"), new);
    }
    for (_, namespace) in entries(&world, "namespaces").filter(|(_, it)| it["kind"] == "sandbox") {
        let word = |key: &str| namespace[key].as_str().unwrap();
        let path = format!("{TENANTS}/{}/projects/{}/sandboxes", word("tenant"), word("project"));
        ledger.ok(api, "POST", &path, json!({}));
    }
    for (name, _) in entries(&world, "tenants").filter(|(_, tenant)| tenant["status"] == "suspended") {
        ledger.ok(api, "POST", &format!("{TENANTS}/{name}:suspend"), Value::Null);
    }
}

/// The shared cases, in which the ids of `example-tenancy.yaml` are those of this ledger.
pub fn told_in_its_ids(ledger: &Ledger, api: &Gate) -> Vec<Case> {
    let ids = ids(&ledger.ok(api, "GET", "/api/v1/snapshot", Value::Null)["whole"]);
    let mut files: Vec<_> = std::fs::read_dir(root().join("tests/cases"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    let mut all = Vec::new();
    for file in files {
        let mut text = std::fs::read_to_string(&file).unwrap();
        if !text.lines().any(|line| line.starts_with("cases:")) {
            continue;
        }
        for (old, new) in &ids {
            text = text.replace(old, new);
        }
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        all.extend(cases::parse(&name, &text, &people()).unwrap_or_else(|errors| panic!("{errors:#?}")));
    }
    all
}

/// What `example-tenancy.yaml` calls a thing, and what the ledger does.
fn ids(snapshot: &Value) -> BTreeMap<String, String> {
    let world = written();
    let mut ids = BTreeMap::new();
    for table in ["tenants", "projects", "apps", "namespaces"] {
        for (key, old) in entries(&world, table).filter(|(_, old)| !old["id"].is_null()) {
            let new = &snapshot[table][key]["id"];
            let new = new.as_str().unwrap_or_else(|| panic!("{table} {key}: {}", snapshot[table]));
            ids.insert(old["id"].as_str().unwrap().to_owned(), new.to_owned());
        }
    }
    ids
}
