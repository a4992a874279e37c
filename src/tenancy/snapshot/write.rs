//! The snapshot back as its document: for the copy on disk, for gates that follow this process, and to merge a patch
//! into one entry of it. What is read of it is the same snapshot.

use std::sync::Arc;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::map::Map;
use super::wire;
use super::{
    App, FORMAT_VERSION, Identity, Namespace, Project, Registries, Settings, Snapshot, Tenant, Unit,
};

/// The document, its maps in the order of their keys and every default filled in.
impl Serialize for Snapshot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut document = serializer.serialize_map(None)?;
        document.serialize_entry("version", &FORMAT_VERSION)?;
        document.serialize_entry("ledger", &self.ledger)?;
        document.serialize_entry("revision", &self.revision)?;
        if let Some(law) = &self.law {
            document.serialize_entry("law", law)?;
        }
        document.serialize_entry("settings", &wire::Settings::from(&self.settings))?;
        document.serialize_entry("tenants", &Section::<_, wire::Tenant>::of(&self.tenants))?;
        document.serialize_entry("projects", &Section::<_, wire::Project>::of(&self.projects))?;
        document.serialize_entry("apps", &Section::<_, wire::App>::of(&self.apps))?;
        document.serialize_entry("namespaces", &Section::<_, wire::Namespace>::of(&self.namespaces))?;
        if !self.exceptions.is_empty() {
            document.serialize_entry("exceptions", &*self.exceptions)?;
        }
        if !self.breakglass.is_empty() {
            document.serialize_entry("breakglass", &*self.breakglass)?;
        }
        document.end()
    }
}

/// One of the document's maps; entries become wire types one at a time.
struct Section<'a, V, W> {
    entries: &'a Map<V>,
    wire: std::marker::PhantomData<W>,
}

impl<'a, V, W> Section<'a, V, W> {
    fn of(entries: &'a Map<V>) -> Self {
        Self { entries, wire: std::marker::PhantomData }
    }
}

impl<'a, V, W: From<&'a V> + Serialize> Serialize for Section<'a, V, W> {
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
