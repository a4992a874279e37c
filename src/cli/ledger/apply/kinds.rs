//! The kinds of documents, and where the API has each.

use anyhow::{Context as _, bail};
use serde_json::{Map, Value as Json, json};
use ureq::http::Method;

use super::Call;
use crate::cli::ledger::client::Client;
use crate::cli::ledger::path::{ProjectPath, url};

/// A document and what it is about.
#[derive(Debug)]
pub struct Target {
    /// `tenant acme`, for people.
    pub name: String,
    kind: Kind,
    fields: Map<String, Json>,
}

#[derive(Debug)]
enum Kind {
    Setting(String),
    Cluster(String),
    Tenant(String),
    /// What of a tenant has a route of its own once the tenant is there: `owners`, `plan`.
    TenantsOwn(String, &'static str),
    Project(ProjectPath),
    App(ProjectPath, String),
    CatalogItem(String),
    PolicySet(String, String),
}

const KINDS: &str = "Settings, Cluster, Tenant, Project, App, CatalogItem, PolicySet";

/// Fields of a thing that only its making may say.
const MADE_WITH: [&str; 3] = ["name", "owners", "plan"];

impl Target {
    /// Reads a document; one of settings is as many targets as it has keys.
    ///
    /// # Errors
    /// It says no kind, an unknown one, or not where it belongs.
    pub fn read(document: Json) -> anyhow::Result<Vec<Self>> {
        let Json::Object(mut fields) = document else { bail!("a document is a map with `kind`") };
        let kind = take(&mut fields, "kind")?;
        if kind == "Settings" {
            let settings = fields.into_iter().map(|(key, value)| Self {
                name: format!("setting {key}"),
                kind: Kind::Setting(key),
                fields: Map::from_iter([("value".to_owned(), value)]),
            });
            return Ok(settings.collect());
        }
        let slug = |fields: &Map<String, Json>, key: &str| word(fields, key);
        let kind = match kind.as_str() {
            "Cluster" => Kind::Cluster(slug(&fields, "name")?),
            "Tenant" => return tenant(fields),
            "Project" => {
                let tenant = take(&mut fields, "tenant")?;
                Kind::Project(ProjectPath { tenant, project: slug(&fields, "name")? })
            }
            "App" => Kind::App(take(&mut fields, "project")?.parse()?, slug(&fields, "name")?),
            "CatalogItem" => Kind::CatalogItem(slug(&fields, "slug")?),
            "PolicySet" => Kind::PolicySet(take(&mut fields, "tenant")?, slug(&fields, "name")?),
            other => bail!("kind `{other}` is not one of {KINDS}"),
        };
        Ok(vec![Self { name: kind.name(), kind, fields }])
    }

    /// Where the API has it.
    pub fn path(&self, client: &Client) -> String {
        match &self.kind {
            Kind::Setting(key) => url(&["settings", key]),
            Kind::Cluster(name) => url(&["clusters", name]),
            Kind::Tenant(name) | Kind::TenantsOwn(name, _) => client.tenant(name, &[]),
            Kind::Project(at) => client.project(at, &[]),
            Kind::App(at, name) => client.project(at, &["apps", name]),
            Kind::CatalogItem(slug) => url(&["catalog", slug]),
            Kind::PolicySet(tenant, name) => client.tenant(tenant, &["policysets", name]),
        }
    }

    /// Whether it is a version of a catalog item that is published; versions never change.
    ///
    /// # Errors
    /// The API cannot be reached.
    pub fn is_published(&self, client: &Client) -> anyhow::Result<bool> {
        let Kind::CatalogItem(slug) = &self.kind else { return Ok(false) };
        let versions = client.list(&url(&["catalog", slug, "versions"]))?;
        Ok(versions.iter().any(|known| known.get("version") == self.fields.get("version")))
    }

    /// Whether it is there only with something else, which then says it when it is made.
    pub const fn is_part(&self) -> bool {
        matches!(self.kind, Kind::TenantsOwn(..))
    }

    /// The request that makes it, or brings what is there to what the document says.
    pub fn call(&self, client: &Client, there: bool) -> Call {
        let whole = Json::from(self.fields.clone());
        let within = |names: &[&str]| {
            let kept = self.fields.iter().filter(|(key, _)| !names.contains(&key.as_str()));
            Json::from(kept.map(|(key, value)| (key.clone(), value.clone())).collect::<Map<_, _>>())
        };
        let change = |method: Method, body: Json| (method, self.path(client), body);
        let make = |path: String| (Method::POST, path, whole.clone());
        match &self.kind {
            Kind::Setting(_) => change(Method::PUT, whole),
            Kind::Cluster(_) if there => change(Method::PATCH, within(&["name"])),
            Kind::TenantsOwn(tenant, "owners") => (Method::PUT, client.tenant(tenant, &["owners"]), whole),
            Kind::TenantsOwn(tenant, own) => (Method::PUT, url(&["tenants", tenant, own]), whole),
            Kind::Tenant(_) if there => change(Method::PATCH, within(&MADE_WITH)),
            Kind::Project(_) if there => change(Method::PATCH, within(&["name"])),
            Kind::App(..) if there => change(Method::PUT, within(&["name"])),
            Kind::PolicySet(..) if there => change(Method::PUT, whole),
            Kind::CatalogItem(slug) if there => {
                let body =
                    json!({"version": self.fields.get("version"), "source": self.fields.get("source")});
                (Method::POST, url(&["catalog", slug, "versions"]), body)
            }
            Kind::Cluster(_) => make(url(&["clusters"])),
            Kind::Tenant(_) => make(client.cluster(&["tenants"])),
            Kind::Project(at) => make(client.tenant(&at.tenant, &["projects"])),
            Kind::App(at, _) => make(client.project(at, &["apps"])),
            Kind::CatalogItem(_) => make(url(&["catalog"])),
            Kind::PolicySet(tenant, _) => make(client.tenant(tenant, &["policysets"])),
        }
    }
}

impl Kind {
    fn name(&self) -> String {
        match self {
            Self::Setting(key) => format!("setting {key}"),
            Self::Cluster(name) => format!("cluster {name}"),
            Self::Tenant(name) => format!("tenant {name}"),
            Self::TenantsOwn(name, own) => format!("{own} of tenant {name}"),
            Self::Project(at) => format!("project {}/{}", at.tenant, at.project),
            Self::App(at, name) => format!("app {}/{}/{name}", at.tenant, at.project),
            Self::CatalogItem(slug) => format!("catalog item {slug}"),
            Self::PolicySet(tenant, name) => format!("policy set {tenant}/{name}"),
        }
    }
}

/// A tenant, and what of it is changed apart.
fn tenant(fields: Map<String, Json>) -> anyhow::Result<Vec<Target>> {
    let name = word(&fields, "name")?;
    let own = [("owners", "owners"), ("plan", "name")].into_iter().filter_map(|(own, key)| {
        let value = fields.get(own)?.clone();
        let kind = Kind::TenantsOwn(name.clone(), own);
        Some(Target { name: kind.name(), kind, fields: Map::from_iter([(key.to_owned(), value)]) })
    });
    let own: Vec<Target> = own.collect();
    let kind = Kind::Tenant(name);
    let whole = Target { name: kind.name(), kind, fields };
    Ok(std::iter::once(whole).chain(own).collect())
}

fn word(fields: &Map<String, Json>, key: &str) -> anyhow::Result<String> {
    let value = fields.get(key).with_context(|| format!("`{key}` is missing"))?;
    Ok(value.as_str().with_context(|| format!("`{key}` is {value}, not text"))?.to_owned())
}

fn take(fields: &mut Map<String, Json>, key: &str) -> anyhow::Result<String> {
    let found = word(fields, key)?;
    fields.remove(key);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_must_say_what_it_is_and_where_it_belongs() {
        for (document, said) in [
            (json!([]), "a document is a map with `kind`"),
            (json!({"name": "x"}), "`kind` is missing"),
            (json!({"kind": "Pod"}), "kind `Pod` is not one of Settings"),
            (json!({"kind": "Project", "name": "shop"}), "`tenant` is missing"),
            (json!({"kind": "Tenant", "name": 5}), "`name` is 5, not text"),
            (
                json!({"kind": "App", "project": "acme", "name": "x"}),
                "`acme` is not of the form `TENANT/PROJECT`",
            ),
        ] {
            let error = Target::read(document.clone()).unwrap_err().to_string();
            assert!(error.starts_with(said), "{document}: {error}");
        }
    }

    #[test]
    fn a_tenant_is_more_than_one_request() {
        let whole = json!({"kind": "Tenant", "name": "acme", "plan": "gold", "owners": ["o#kim"], "registries": "inherit"});
        let targets = Target::read(whole).unwrap();
        let names: Vec<&str> = targets.iter().map(|target| target.name.as_str()).collect();
        assert_eq!(names, ["tenant acme", "owners of tenant acme", "plan of tenant acme"]);
    }

    #[test]
    fn settings_are_a_target_a_key() {
        let targets = Target::read(json!({"kind": "Settings", "connect": {}, "registries": {}})).unwrap();
        let names: Vec<&str> = targets.iter().map(|target| target.name.as_str()).collect();
        assert_eq!(names, ["setting connect", "setting registries"]);
    }
}
