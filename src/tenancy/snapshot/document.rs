//! The snapshot as policies see it: `data.tenancy.settings`, `data.tenancy.tenants[slug]` and `data.tenancy.ids[id]`.

use serde::Serialize;
use serde_json::{Map, Value};

use super::{Section, Snapshot, Unit, wire};

impl Snapshot {
    /// `data.tenancy.settings`, in the document's own keys with every default filled in. An identity has `username`,
    /// `group` and `writes` only where they say something.
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
        // Settings of policies: they reach the law as parameters and modes, not as facts about a tenant.
        fields.remove("policySets");
        fields.insert("projects".into(), object(projects));
        fields.insert("apps".into(), object(apps));
        Some(document)
    }

    /// `data.tenancy.ids[id]`: `{kind: "app", tenant, project, app}`, all of them slugs, and less for the kinds `project`
    /// and `tenant`; a `sandbox` has its number. `None` where the snapshot does not hold the id.
    pub fn id_document(&self, id: &str) -> Option<Value> {
        let (section, key) = self.index.ids.get(id)?;
        let kind = match section {
            Section::Tenants => "tenant",
            Section::Projects => "project",
            Section::Apps => "app",
            Section::Namespaces => "sandbox",
        };
        let mut document = Map::from_iter([("kind".to_owned(), kind.into())]);
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
    entries.map(|(key, value)| (key.to_owned(), value)).collect::<Map<_, _>>().into()
}

/// Bytes of a document, or of a part of one, as JSON, which are what a reader bounds.
pub fn bytes_of(part: &impl Serialize) -> usize {
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
    // What has no form as JSON is longer than anything.
    serde_json::to_writer(&mut count, part).map_or(usize::MAX, |()| count.0)
}

/// Wire types are maps by text, lists and scalars, which JSON always has a form for.
pub(super) fn value(wire: &impl Serialize) -> Value {
    serde_json::to_value(wire).unwrap_or_default()
}
