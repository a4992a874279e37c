//! The snapshot as policies see it: `data.tenancy.settings` and `data.tenancy.tenants[slug]`.

use std::ops::Bound;

use serde_json::{Map, Value, json};

use super::{Identity, Registries, Settings, Snapshot};
use crate::tenancy::image::Entry;
use crate::tenancy::requester::Class;
use crate::tenancy::resource::Pattern;

impl Snapshot {
    /// `data.tenancy.settings`, in the document's own keys with every default filled in. An identity has `username`,
    /// `group` and `writes` only where they say something.
    pub fn settings_document(&self) -> Value {
        let Settings { prefix, label_prefix, ceiling, platform, identities, connect, workload_writes } =
            &self.settings;
        json!({
            "prefix": prefix,
            "labelPrefix": label_prefix,
            "registries": { "ceiling": texts(ceiling), "platform": texts(platform) },
            "identities": identities.iter().map(identity).collect::<Vec<_>>(),
            "connect": {
                "exec": connect.exec,
                "attach": connect.attach,
                "portforward": connect.portforward,
                "proxy": connect.proxy,
            },
            "workloadWrites": patterns(workload_writes),
        })
    }

    /// `data.tenancy.tenants[slug]`: `{id, status, groups, registries, plan, projects: {slug: {id}},
    /// apps: {"shop/frontend": {id, sourceKind}}}`; `registries` and `plan` only where the tenant has them.
    pub fn tenant_document(&self, slug: &str) -> Option<Value> {
        let tenant = self.tenants.get(slug)?;
        let mut document = Map::new();
        document.insert("id".into(), json!(tenant.id));
        document.insert("status".into(), json!(tenant.status.as_str()));
        document.insert("groups".into(), json!(tenant.groups));
        match &tenant.registries {
            None => None,
            Some(Registries::Inherit) => document.insert("registries".into(), json!("inherit")),
            Some(Registries::List(entries)) => document.insert("registries".into(), texts(entries)),
        };
        if let Some(plan) = &tenant.plan {
            document.insert("plan".into(), json!(plan));
        }
        document.insert("projects".into(), self.projects_of(slug));
        document.insert("apps".into(), self.apps_of(slug));
        Some(document.into())
    }

    fn projects_of(&self, tenant: &str) -> Value {
        let (from, to) = below(tenant);
        let range = self.projects.range::<str, _>((Bound::Excluded(&*from), Bound::Excluded(&*to)));
        range
            .map(|(_, project)| (project.slug.to_string(), json!({ "id": project.id })))
            .collect::<Map<_, _>>()
            .into()
    }

    fn apps_of(&self, tenant: &str) -> Value {
        let (from, to) = below(tenant);
        let range = self.apps.range::<str, _>((Bound::Excluded(&*from), Bound::Excluded(&*to)));
        let apps = range.filter_map(|(key, app)| {
            let document = match &app.source_kind {
                Some(kind) => json!({ "id": app.id, "sourceKind": kind }),
                None => json!({ "id": app.id }),
            };
            key.strip_prefix(&*from).map(|rest| (rest.to_owned(), document))
        });
        apps.collect::<Map<_, _>>().into()
    }
}

/// Bounds of the keys that begin with `tenant/`; `0` is the character after `/`.
fn below(tenant: &str) -> (String, String) {
    (format!("{tenant}/"), format!("{tenant}0"))
}

fn identity(identity: &Identity) -> Value {
    let mut document = Map::new();
    document.insert("name".into(), json!(identity.name));
    document.insert("class".into(), json!(identity.class.as_str()));
    if let Some(username) = &identity.username {
        document.insert("username".into(), json!(username));
    }
    if let Some(group) = &identity.group {
        document.insert("group".into(), json!(group));
    }
    document.insert("createsNamespaces".into(), json!(identity.creates_namespaces));
    if identity.class == Class::Controller {
        document.insert("writes".into(), patterns(&identity.writes));
    }
    document.into()
}

fn texts(entries: &[Entry]) -> Value {
    entries.iter().map(ToString::to_string).collect()
}

fn patterns(patterns: &[Pattern]) -> Value {
    patterns.iter().map(ToString::to_string).collect()
}
