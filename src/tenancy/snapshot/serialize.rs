//! The snapshot as JSON: the whole document, the parts of it that policies see, and single entries as wire types.

use std::sync::Arc;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map as Object, Value};

use super::map::Map;
use super::{
    App, FORMAT_VERSION, Identity, Namespace, Project, Registries, Section, Settings, Snapshot, Tenant, Unit,
    wire,
};

/// Maps are in the order of their keys; defaults are filled in.
impl Serialize for Snapshot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut document = serializer.serialize_map(None)?;
        document.serialize_entry("version", &FORMAT_VERSION)?;
        document.serialize_entry("ledger", &self.ledger)?;
        document.serialize_entry("revision", &self.revision)?;
        if let Some(policies) = &self.policies {
            document.serialize_entry("policies", policies)?;
        }
        document.serialize_entry("settings", &wire::Settings::from(&self.settings))?;
        document.serialize_entry("tenants", &EntryMap::<_, wire::Tenant>::of(&self.tenants))?;
        document.serialize_entry("projects", &EntryMap::<_, wire::Project>::of(&self.projects))?;
        document.serialize_entry("apps", &EntryMap::<_, wire::App>::of(&self.apps))?;
        document.serialize_entry("namespaces", &EntryMap::<_, wire::Namespace>::of(&self.namespaces))?;
        if !self.exceptions.is_empty() {
            document.serialize_entry("exceptions", &*self.exceptions)?;
        }
        if !self.breakglass.is_empty() {
            document.serialize_entry("breakglass", &*self.breakglass)?;
        }
        document.end()
    }
}

/// Converts entries to wire types one at a time.
struct EntryMap<'a, V, W> {
    entries: &'a Map<V>,
    wire: std::marker::PhantomData<W>,
}

impl<'a, V, W> EntryMap<'a, V, W> {
    fn of(entries: &'a Map<V>) -> Self {
        Self { entries, wire: std::marker::PhantomData }
    }
}

impl<'a, V, W: From<&'a V> + Serialize> Serialize for EntryMap<'a, V, W> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.entries.sorted().into_iter().map(|(key, value)| (&**key, W::from(value))))
    }
}

impl From<&Settings> for wire::Settings {
    fn from(settings: &Settings) -> Self {
        let Settings { prefix, label_prefix, ceiling, platform, identities, connect, workload_writes } =
            settings;
        Self {
            prefix: Some(prefix.to_string()),
            label_prefix: Some(label_prefix.to_string()),
            registries: wire::SharedRegistries { ceiling: texts(ceiling), platform: texts(platform) },
            identities: identities.iter().map(Into::into).collect(),
            connect: wire::Connect {
                exec: connect.exec,
                attach: connect.attach,
                portforward: connect.portforward,
                proxy: connect.proxy,
            },
            workload_writes: Some(texts(workload_writes)),
        }
    }
}

impl From<&Identity> for wire::Identity {
    fn from(identity: &Identity) -> Self {
        let Identity { name, class, username, group, creates_namespaces, writes } = identity;
        Self {
            name: name.to_string(),
            class: class.as_str().to_owned(),
            username: text(username.as_ref()),
            group: text(group.as_ref()),
            creates_namespaces: *creates_namespaces,
            writes: texts(writes),
        }
    }
}

impl From<&Tenant> for wire::Tenant {
    fn from(tenant: &Tenant) -> Self {
        let Tenant { id, status, groups, registries, plan, policy_sets } = tenant;
        Self {
            id: id.to_string(),
            status: status.as_str().to_owned(),
            groups: texts(groups),
            registries: registries.as_ref().map(|registries| match registries {
                Registries::Inherit => wire::Registries::Word("inherit".to_owned()),
                Registries::List(entries) => wire::Registries::List(texts(entries)),
            }),
            plan: text(plan.as_ref()),
            policy_sets: policy_sets.to_vec(),
        }
    }
}

impl From<&Project> for wire::Project {
    fn from(project: &Project) -> Self {
        Self { id: project.id.to_string() }
    }
}

impl From<&App> for wire::App {
    fn from(app: &App) -> Self {
        Self { id: app.id.to_string(), source_kind: text(app.source_kind.as_ref()) }
    }
}

impl From<&Namespace> for wire::Namespace {
    fn from(namespace: &Namespace) -> Self {
        let (tenant, project) = (namespace.tenant.to_string(), namespace.project.to_string());
        let kind = namespace.unit.kind().as_str().to_owned();
        match &namespace.unit {
            Unit::App { app, .. } => Self {
                kind,
                tenant,
                project,
                app: Some(app.to_string()),
                sandbox: None,
                id: None,
                expires_at: None,
            },
            Unit::Sandbox { number, id, expires_at } => Self {
                kind,
                tenant,
                project,
                app: None,
                sandbox: Some(*number),
                id: Some(id.to_string()),
                expires_at: text(expires_at.as_ref()),
            },
        }
    }
}

fn text(text: Option<&Arc<str>>) -> Option<String> {
    text.map(ToString::to_string)
}

fn texts(list: &[impl ToString]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

impl Snapshot {
    /// `data.tenancy.settings`: the document's keys with defaults filled in. An identity has `username`, `group` and
    /// `writes` only if they are set.
    pub fn settings_document(&self) -> Value {
        value(&wire::Settings::from(&self.settings))
    }

    /// `data.tenancy.tenants[slug]`: `{id, status, groups, registries, plan, projects: {slug: {id}},
    /// apps: {"shop/frontend": {id, sourceKind}}}`; `registries` and `plan` only where the tenant has them.
    pub fn tenant_document(&self, slug: &str) -> Option<Value> {
        let mut document = value(&wire::Tenant::from(self.tenants.get(slug)?));
        let projects =
            self.projects.below(slug).map(|(rest, _, project)| (rest, value(&wire::Project::from(project))));
        let apps = self.apps.below(slug).map(|(rest, _, app)| (rest, value(&wire::App::from(app))));
        let fields = document.as_object_mut()?;
        // Policy sets reach policies as parameters and modes, not as data.
        fields.remove("policySets");
        fields.insert("projects".into(), object(projects));
        fields.insert("apps".into(), object(apps));
        Some(document)
    }

    /// `data.tenancy.ids[id]`: `{kind: "app", tenant, project, app}`, all slugs, and fewer fields for `project` and
    /// `tenant`; a `sandbox` has its number. `None` for an unknown id.
    pub fn id_document(&self, id: &str) -> Option<Value> {
        let (section, key) = self.index.ids.get(id)?;
        let kind = match section {
            Section::Tenants => "tenant",
            Section::Projects => "project",
            Section::Apps => "app",
            Section::Namespaces => "sandbox",
        };
        let mut document = Object::from_iter([("kind".to_owned(), kind.into())]);
        let mut put = |field: &str, value: Value| drop(document.insert(field.to_owned(), value));
        if *section != Section::Namespaces {
            // The keys of owners are paths of slugs.
            let slugs = ["tenant", "project", "app"].into_iter().zip(key.split('/'));
            slugs.for_each(|(field, slug)| put(field, slug.into()));
        } else if let Some(namespace) = self.namespaces.get(key) {
            put("tenant", (*namespace.tenant).into());
            put("project", (*namespace.project).into());
            if let Unit::Sandbox { number, .. } = &namespace.unit {
                put("sandbox", (*number).into());
            }
        }
        Some(document.into())
    }
}

fn object<'a>(entries: impl Iterator<Item = (&'a str, Value)>) -> Value {
    entries.map(|(key, value)| (key.to_owned(), value)).collect::<Object<_, _>>().into()
}

/// Length as JSON, which the reader's limit applies to.
pub fn json_len(part: &impl Serialize) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // A value without a JSON form exceeds every limit.
    serde_json::to_writer(&mut count, part).map_or(usize::MAX, |()| count.0)
}

/// Wire types always have a JSON form.
pub(super) fn value(wire: &impl Serialize) -> Value {
    serde_json::to_value(wire).unwrap_or_default()
}
