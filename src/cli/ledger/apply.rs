//! `portcullis apply` and `portcullis seed`: bring the ledger to the state that documents describe. The server computes each change
//! first, by a dry run, and the command shows it as a diff.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde_json::{Map, Value as Json, json};
use similar::{ChangeTag, TextDiff};
use ureq::http::Method;

use super::client::Client;
use super::path::{ProjectPath, url};
use super::{ApiArgs, Exit, run as with, show};
use crate::cli::output::{self, BAD, FAINT, GOOD, STRONG};
use crate::cli::yaml;

const EXAMPLES: &str = "\
A document says what it is by `kind`, and the rest are the fields of the API:

  kind: Settings                          # key by key: registries, identities, connect, …
  registries: {ceiling: [docker.io], platform: []}
  ---
  kind: Tenant
  name: acme
  registries: inherit
  ---
  kind: Project
  tenant: acme
  name: shop
  ---
  kind: App
  project: acme/shop
  name: frontend
  spec: {source: {containerImage: {image: docker.io/library/nginx:1.29}}}

Kinds: Settings, Cluster, Tenant, Project, App, CatalogItem, PolicySet

Examples:
  portcullis apply -f platform.yaml --dry-run      what would change
  portcullis apply -f platform.yaml                change it
  cat *.yaml | portcullis apply -f -";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    api: ApiArgs,
    /// YAML or JSON documents; `-` is standard input
    #[arg(long, short, value_name = "FILE", required = true)]
    file: Vec<PathBuf>,
    /// Show the changes without making them; exit code 1 if there are any
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Created,
    Updated,
    Unchanged,
}

pub fn run(args: Args) -> anyhow::Result<Exit> {
    let mut found = Vec::new();
    for file in &args.file {
        found.extend(targets(&file.display().to_string(), &text(file)?)?);
    }
    with(&args.api, |client| {
        let changed = all(client, &found, args.dry_run, true)?;
        Ok(Exit::findings(args.dry_run && changed > 0))
    })
}

pub(super) fn targets(name: &str, text: &str) -> anyhow::Result<Vec<Target>> {
    let mut found = Vec::new();
    for (index, document) in parse(name, text)?.into_iter().enumerate() {
        let target = Target::read(document).with_context(|| format!("`{name}`, document {}", index + 1))?;
        found.extend(target);
    }
    Ok(found)
}

/// Applies the targets in order and prints the outcome of each. Returns the number of changes.
pub(super) fn all(
    client: &Client,
    targets: &[Target],
    dry_run: bool,
    differences: bool,
) -> anyhow::Result<usize> {
    let mut changed = 0;
    for target in targets {
        let done = one(client, target, dry_run, differences)?;
        if done == Outcome::Unchanged && target.is_tenant_field() {
            continue;
        }
        changed += usize::from(done != Outcome::Unchanged);
        let word = match (done, dry_run) {
            (Outcome::Unchanged, _) => format!("{FAINT}unchanged{FAINT:#}"),
            (Outcome::Created, false) => format!("{GOOD}created{GOOD:#}"),
            (Outcome::Created, true) => format!("{GOOD}created (dry run){GOOD:#}"),
            (Outcome::Updated, false) => format!("{GOOD}updated{GOOD:#}"),
            (Outcome::Updated, true) => format!("{GOOD}updated (dry run){GOOD:#}"),
        };
        output::print(&format!("{STRONG}{}{STRONG:#} {word}\n", target.name))?;
    }
    Ok(changed)
}

fn one(client: &Client, target: &Target, dry_run: bool, differences: bool) -> anyhow::Result<Outcome> {
    let path = target.path(client);
    let before = client.find(&path)?;
    // A new tenant is created with owners and plan at once.
    let made_whole = before.is_none() && target.is_tenant_field();
    if made_whole || (before.is_some() && target.is_published(client)?) {
        return Ok(Outcome::Unchanged);
    }
    let (method, to, body) = target.call(client, before.is_some());
    let etag = before.as_ref().and_then(|answer| answer.etag.clone());
    let asked = client.send(&method, &with_query(&to, "dryRun=true"), Some(&body), etag.as_deref())?;
    let was = before.map_or(Json::Null, |answer| answer.body);
    let diff = difference(&was, &asked.body)?;
    if diff.is_empty() {
        return Ok(Outcome::Unchanged);
    }
    if differences {
        output::print(&diff)?;
    }
    if !dry_run {
        client.send(&method, &to, Some(&body), etag.as_deref())?;
    }
    Ok(if was.is_null() { Outcome::Created } else { Outcome::Updated })
}

fn with_query(path: &str, query: &str) -> String {
    format!("{path}{}{query}", if path.contains('?') { '&' } else { '?' })
}

/// A diff with three lines of context, without the fields that every write changes.
fn difference(was: &Json, is: &Json) -> anyhow::Result<String> {
    let lines = |document: &Json| -> anyhow::Result<String> {
        let mut document = document.clone();
        if let Some(fields) = document.as_object_mut() {
            for bookkeeping in ["id", "version", "createdAt", "updatedAt"] {
                fields.remove(bookkeeping);
            }
        }
        if document.is_null() { Ok(String::new()) } else { show::as_yaml(&document) }
    };
    let (was, is) = (lines(was)?, lines(is)?);
    let diff = TextDiff::from_lines(&was, &is);
    let mut text = String::new();
    for group in diff.grouped_ops(3) {
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let line = change.value().trim_end_matches('\n');
            text += &match change.tag() {
                ChangeTag::Delete => format!("{BAD}- {line}{BAD:#}\n"),
                ChangeTag::Insert => format!("{GOOD}+ {line}{GOOD:#}\n"),
                ChangeTag::Equal => format!("  {line}\n"),
            };
        }
    }
    Ok(text)
}

pub fn document(file: &Path) -> anyhow::Result<Json> {
    let mut all = documents(file)?;
    match (all.pop(), all.is_empty()) {
        (Some(one), true) => Ok(one),
        (None, _) => bail!("`{}` is empty", file.display()),
        _ => bail!("`{}` holds more than one document", file.display()),
    }
}

fn documents(file: &Path) -> anyhow::Result<Vec<Json>> {
    parse(&file.display().to_string(), &text(file)?)
}

fn text(file: &Path) -> anyhow::Result<String> {
    if file.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("standard input")?;
        return Ok(text);
    }
    std::fs::read_to_string(file).with_context(|| format!("`{}`", file.display()))
}

fn parse(name: &str, text: &str) -> anyhow::Result<Vec<Json>> {
    let read = yaml::documents(text, &yaml::as_kubectl()).map_err(|error| {
        let (line, column) = error.location().map_or((0, 0), |place| (place.line(), place.column()));
        anyhow::anyhow!("`{name}` line {line}, column {column}: {}", error.without_snippet())
    })?;
    Ok(read.into_iter().filter(|document| !document.is_null()).collect())
}

type Call = (Method, String, Json);

/// A document and the object that it describes.
#[derive(Debug)]
pub struct Target {
    /// `tenant/acme`
    pub name: String,
    kind: TargetKind,
    fields: Map<String, Json>,
}

#[derive(Debug)]
enum TargetKind {
    Setting(String),
    Cluster(String),
    Tenant(String),
    /// Fields of an existing tenant that have their own route: `owners`, `plan`.
    TenantField(String, &'static str),
    Project(ProjectPath),
    App(ProjectPath, String),
    CatalogItem(String),
    PolicySet(String, String),
}

const KINDS: &str = "Settings, Cluster, Tenant, Project, App, CatalogItem, PolicySet";

/// Fields that can be set at creation only.
const CREATE_ONLY: [&str; 3] = ["name", "owners", "plan"];

impl Target {
    /// A document of settings becomes one target per key.
    pub fn read(document: Json) -> anyhow::Result<Vec<Self>> {
        let Json::Object(mut fields) = document else { bail!("a document is a map with `kind`") };
        let kind = take(&mut fields, "kind")?;
        if kind == "Settings" {
            let settings = fields.into_iter().map(|(key, value)| Self {
                name: format!("setting/{key}"),
                kind: TargetKind::Setting(key),
                fields: Map::from_iter([("value".to_owned(), value)]),
            });
            return Ok(settings.collect());
        }
        let slug = |fields: &Map<String, Json>, key: &str| word(fields, key);
        let kind = match kind.as_str() {
            "Cluster" => TargetKind::Cluster(slug(&fields, "name")?),
            "Tenant" => return tenant_targets(fields),
            "Project" => {
                let tenant = take(&mut fields, "tenant")?;
                TargetKind::Project(ProjectPath { tenant, project: slug(&fields, "name")? })
            }
            "App" => TargetKind::App(take(&mut fields, "project")?.parse()?, slug(&fields, "name")?),
            "CatalogItem" => TargetKind::CatalogItem(slug(&fields, "slug")?),
            "PolicySet" => TargetKind::PolicySet(take(&mut fields, "tenant")?, slug(&fields, "name")?),
            other => bail!("kind `{other}` is not one of {KINDS}"),
        };
        Ok(vec![Self { name: kind.name(), kind, fields }])
    }

    pub fn path(&self, client: &Client) -> String {
        match &self.kind {
            TargetKind::Setting(key) => url(&["settings", key]),
            TargetKind::Cluster(name) => url(&["clusters", name]),
            TargetKind::Tenant(name) | TargetKind::TenantField(name, _) => client.tenant(name, &[]),
            TargetKind::Project(at) => client.project(at, &[]),
            TargetKind::App(at, name) => client.project(at, &["apps", name]),
            TargetKind::CatalogItem(slug) => url(&["catalog", slug]),
            TargetKind::PolicySet(tenant, name) => client.tenant(tenant, &["policysets", name]),
        }
    }

    /// Whether this version of a catalog item is published; a published version never changes.
    pub fn is_published(&self, client: &Client) -> anyhow::Result<bool> {
        let TargetKind::CatalogItem(slug) = &self.kind else { return Ok(false) };
        let versions = client.list(&url(&["catalog", slug, "versions"]))?;
        Ok(versions.iter().any(|known| known.get("version") == self.fields.get("version")))
    }

    /// Whether it is a part of a tenant, which reports its creation itself.
    pub const fn is_tenant_field(&self) -> bool {
        matches!(self.kind, TargetKind::TenantField(..))
    }

    /// The request that creates the object, or updates it to what the document says.
    pub fn call(&self, client: &Client, there: bool) -> Call {
        let whole = Json::from(self.fields.clone());
        let within = |names: &[&str]| {
            let kept = self.fields.iter().filter(|(key, _)| !names.contains(&key.as_str()));
            Json::from(kept.map(|(key, value)| (key.clone(), value.clone())).collect::<Map<_, _>>())
        };
        let change = |method: Method, body: Json| (method, self.path(client), body);
        let make = |path: String| (Method::POST, path, whole.clone());
        match &self.kind {
            TargetKind::Setting(_) => change(Method::PUT, whole),
            TargetKind::Cluster(_) if there => change(Method::PATCH, within(&["name"])),
            TargetKind::TenantField(tenant, "owners") => {
                (Method::PUT, client.tenant(tenant, &["owners"]), whole)
            }
            TargetKind::TenantField(tenant, own) => (Method::PUT, url(&["tenants", tenant, own]), whole),
            TargetKind::Tenant(_) if there => change(Method::PATCH, within(&CREATE_ONLY)),
            TargetKind::Project(_) if there => change(Method::PATCH, within(&["name"])),
            TargetKind::App(..) if there => change(Method::PUT, within(&["name"])),
            TargetKind::PolicySet(..) if there => change(Method::PUT, whole),
            TargetKind::CatalogItem(slug) if there => {
                let body =
                    json!({"version": self.fields.get("version"), "source": self.fields.get("source")});
                (Method::POST, url(&["catalog", slug, "versions"]), body)
            }
            TargetKind::Cluster(_) => make(url(&["clusters"])),
            TargetKind::Tenant(_) => make(client.cluster(&["tenants"])),
            TargetKind::Project(at) => make(client.tenant(&at.tenant, &["projects"])),
            TargetKind::App(at, _) => make(client.project(at, &["apps"])),
            TargetKind::CatalogItem(_) => make(url(&["catalog"])),
            TargetKind::PolicySet(tenant, _) => make(client.tenant(tenant, &["policysets"])),
        }
    }
}

impl TargetKind {
    fn name(&self) -> String {
        match self {
            Self::Setting(key) => format!("setting/{key}"),
            Self::Cluster(name) => format!("cluster/{name}"),
            Self::Tenant(name) => format!("tenant/{name}"),
            Self::TenantField(name, own) => format!("tenant/{name} {own}"),
            Self::Project(at) => format!("project/{}/{}", at.tenant, at.project),
            Self::App(at, name) => format!("app/{}/{}/{name}", at.tenant, at.project),
            Self::CatalogItem(slug) => format!("catalogitem/{slug}"),
            Self::PolicySet(tenant, name) => format!("policyset/{tenant}/{name}"),
        }
    }
}

/// A tenant, and the fields that have their own routes.
fn tenant_targets(fields: Map<String, Json>) -> anyhow::Result<Vec<Target>> {
    let name = word(&fields, "name")?;
    let own = [("owners", "owners"), ("plan", "name")].into_iter().filter_map(|(own, key)| {
        let value = fields.get(own)?.clone();
        let kind = TargetKind::TenantField(name.clone(), own);
        Some(Target { name: kind.name(), kind, fields: Map::from_iter([(key.to_owned(), value)]) })
    });
    let own: Vec<Target> = own.collect();
    let kind = TargetKind::Tenant(name);
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

const SEED_DOCUMENTS: &str = include_str!("seed.yaml");

/// Projects that get a sandbox if they have none.
const PLAYGROUNDS: [(&str, &str); 3] = [("acme", "shop"), ("acme", "data"), ("globex", "web")];

#[derive(Debug, clap::Args)]
pub struct SeedArgs {
    #[command(flatten)]
    api: ApiArgs,
    /// Print the documents and create nothing
    #[arg(long)]
    print: bool,
}

pub fn seed(args: SeedArgs) -> anyhow::Result<Exit> {
    if args.print {
        output::print(SEED_DOCUMENTS)?;
        return Ok(Exit::Ok);
    }
    let targets = targets("seed.yaml", SEED_DOCUMENTS)?;
    with(&args.api, |client| {
        all(client, &targets, false, false)?;
        for (tenant, project) in PLAYGROUNDS {
            seed_sandbox(client, &ProjectPath { tenant: tenant.to_owned(), project: project.to_owned() })?;
        }
        output::note(
            "try `portcullis tenant list`, `portcullis app list acme/shop`, `portcullis sandbox list acme/shop`",
        );
        Ok(Exit::Ok)
    })
}

fn seed_sandbox(client: &Client, at: &ProjectPath) -> anyhow::Result<()> {
    let path = client.project(at, &["sandboxes"]);
    if !client.list(&path)?.is_empty() {
        return Ok(());
    }
    let made = client.send(&Method::POST, &path, Some(&json!({})), None)?.body;
    let (name, namespace) = (show::cell(&made, "name"), show::cell(&made, "namespace"));
    output::print(&format!("sandbox/{}/{}/{name} created in namespace {namespace}\n", at.tenant, at.project))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_given_fields_differ() {
        let was = json!({"id": "1", "version": 1, "name": "acme", "registries": ["a.io"]});
        let same = json!({"id": "1", "version": 2, "name": "acme", "registries": ["a.io"]});
        assert_eq!(difference(&was, &same).unwrap(), "");
        let other = json!({"id": "1", "version": 2, "name": "acme", "registries": ["b.io"]});
        let said = anstream::adapter::strip_str(&difference(&was, &other).unwrap()).to_string();
        assert!(said.contains("-   - a.io") || said.contains("- - a.io"), "{said}");
        assert!(said.contains("b.io"), "{said}");
    }

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
        assert_eq!(names, ["tenant/acme", "tenant/acme owners", "tenant/acme plan"]);
    }

    #[test]
    fn settings_are_a_target_a_key() {
        let targets = Target::read(json!({"kind": "Settings", "connect": {}, "registries": {}})).unwrap();
        let names: Vec<&str> = targets.iter().map(|target| target.name.as_str()).collect();
        assert_eq!(names, ["setting/connect", "setting/registries"]);
    }
}
