//! Namespaces: each has an owner, and the one name that is composed from it.

use std::sync::Arc;

use super::super::problems::At;
use super::super::wire;
use super::super::{Namespace, Section, Unit};
use super::{Checker, UUID};
use crate::name;
use crate::text::quoted;

impl Checker<'_> {
    pub(in super::super) fn namespace(&mut self, key: Arc<str>, wire: wire::Namespace) {
        let at = At::item("namespaces", &key);
        let composed = self.compose(at, &wire);
        if let Some(composed) = &composed
            && **composed != *key
        {
            let allowed = format_args!("`{composed}`");
            self.problems.add(at, "the name is not the one composed from its owner", allowed);
        }
        // A name belongs to one app or sandbox, so a repeated key is a second namespace of it.
        if let Some(namespace) = self.owned(&key, wire)
            && self.next.namespaces.insert(Arc::clone(&key), namespace).is_some()
        {
            self.problems.add(at, "the app or sandbox has two namespaces", "one");
        }
    }

    fn compose(&mut self, at: At<'_>, wire: &wire::Namespace) -> Option<String> {
        let prefix = &self.next.settings.prefix;
        let (tenant, project) = (&wire.tenant, &wire.project);
        let composed = match (wire.kind.as_str(), &wire.app, wire.sandbox) {
            ("app", Some(app), None) => name::app(prefix, tenant, project, app),
            ("sandbox", None, Some(number)) => name::sandbox(prefix, tenant, project, number),
            ("app", _, _) => {
                self.problems.add(at, "kind `app` needs `app`, the slug", "`app`, and no `sandbox`");
                return None;
            }
            ("sandbox", _, _) => {
                self.problems.add(
                    at,
                    "kind `sandbox` needs `sandbox`, the number",
                    "`sandbox`, and no `app`",
                );
                return None;
            }
            (other, _, _) => {
                self.problems.add(at.field("kind"), quoted(other), "`app`, `sandbox`");
                return None;
            }
        };
        composed.map_err(|error| self.problems.add_error(at, error)).ok()
    }

    fn owned(&mut self, key: &Arc<str>, wire: wire::Namespace) -> Option<Namespace> {
        let at = At::item("namespaces", key);
        let Some((tenant, owner)) = self.next.tenants.get_key_value(&wire.tenant) else {
            if !self.dropped.holds("tenants", &wire.tenant) {
                let found = format_args!("the tenant {} is unknown", quoted(&wire.tenant));
                self.problems.add(at.field("tenant"), found, "one of `tenants`");
            }
            return None;
        };
        let project_key = format!("{}/{}", wire.tenant, wire.project);
        let Some(project) = self.next.projects.get(&project_key) else {
            if !self.dropped.holds("projects", &project_key) {
                let found = format_args!("the project {} is unknown", quoted(&project_key));
                self.problems.add(at.field("project"), found, "one of `projects`");
            }
            return None;
        };
        let (tenant, tenant_id, status) = (Arc::clone(tenant), Arc::clone(&owner.id), owner.status);
        let (project, project_id) = (Arc::clone(&project.slug), Arc::clone(&project.id));
        let unit = self.unit(key, wire, &project_key)?;
        Some(Namespace { tenant, tenant_id, status, project, project_id, unit })
    }

    fn unit(&mut self, key: &Arc<str>, wire: wire::Namespace, project_key: &str) -> Option<Unit> {
        let at = At::item("namespaces", key);
        match (wire.app, wire.sandbox) {
            (Some(slug), None) => {
                let app_key = format!("{project_key}/{slug}");
                let Some(app) = self.next.apps.get(&app_key) else {
                    if !self.dropped.holds("apps", &app_key) {
                        let found = format_args!("the app {} is unknown", quoted(&app_key));
                        self.problems.add(at.field("app"), found, "one of `apps`");
                    }
                    return None;
                };
                if wire.id.as_deref().is_some_and(|id| *id != *app.id) {
                    let allowed = format_args!("none, or `{}` as under `apps`", app.id);
                    self.problems.add(at.field("id"), "differs from the app's id", allowed);
                }
                if wire.expires_at.is_some() {
                    self.problems.add(at.field("expiresAt"), "is set on an app", "only sandboxes expire");
                }
                Some(Unit::App { app: Arc::clone(&app.slug), id: Arc::clone(&app.id) })
            }
            (None, Some(number)) => {
                let Some(id) = wire.id else {
                    self.problems.add(at.field("id"), "is missing", UUID);
                    return None;
                };
                let id = self.id(at, Section::Namespaces, key, id);
                if wire.expires_at.as_deref().is_some_and(|time| !is_rfc3339(time)) {
                    let found = quoted(wire.expires_at.as_deref().unwrap_or_default());
                    self.problems.add(
                        at.field("expiresAt"),
                        found,
                        "RFC 3339, for example `2027-01-31T09:30:00Z`",
                    );
                }
                Some(Unit::Sandbox { number, id, expires_at: wire.expires_at.map(Into::into) })
            }
            _ => None, // said by `compose`
        }
    }
}

/// RFC 3339 with `Z` or a numeric offset, and a time that exists.
fn is_rfc3339(time: &str) -> bool {
    const SHAPE: &str = "0000-00-00T00:00:00";
    let Some((start, rest)) = time.split_at_checked(SHAPE.len()) else { return false };
    let like = |text: &str, shape: &str| {
        text.len() == shape.len()
            && text
                .bytes()
                .zip(shape.bytes())
                .all(|(b, s)| if s == b'0' { b.is_ascii_digit() } else { b == s })
    };
    let rest = rest
        .strip_prefix('.')
        .map_or(rest, |fraction| fraction.trim_start_matches(|c: char| c.is_ascii_digit()));
    let shaped = like(start, SHAPE) && (rest == "Z" || like(rest, "+00:00") || like(rest, "-00:00"));
    shaped && time.parse::<jiff::Timestamp>().is_ok()
}
