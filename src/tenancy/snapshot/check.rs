//! From the document to the snapshot: every entry is checked, and every problem is named.
//!
//! An entry with a problem is put in too, so that what refers to it is not reported as well; the caller drops the
//! snapshot if there is any problem. A patch is checked by the same methods, entry by entry, on a copy of the snapshot.

mod namespaces;
pub(super) mod settings;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::problems::{At, Dropped, Problems};
use super::wire::{self, Document, Keyed};
use super::{
    App, Exception, PARAMS_DEPTH_MAX, PolicySet, Project, RULES_BYTES_MAX, RULES_MAX, Registries, SETS_MAX,
    Section, Snapshot, Status, Tenant, depth, rules_bytes,
};
use crate::breakglass::BreakglassEntry;
use crate::image::RegistryEntry;
use crate::resource::Pattern;
use crate::slug::{SlugError, check_app, check_project, check_tenant};
use crate::text::{is_dns_label, is_uuid, quoted};

const MODES: [&str; 4] = ["enforce", "warn", "audit", "off"];
const UUID: &str = "a UUID in lower case";
pub(super) const LABEL: &str = "one DNS label: lower-case letters, digits and inner hyphens, at most 63";

pub(super) fn build(mut document: Document, dropped: &Dropped, problems: &mut Problems) -> Snapshot {
    if document.version != super::FORMAT_VERSION {
        problems.add("version", format_args!("`{}`", document.version), super::FORMAT_VERSION);
    }
    if !is_uuid(&document.ledger) {
        problems.add("ledger", quoted(&document.ledger), UUID);
    }
    let settings = settings::check(std::mem::take(&mut document.settings), problems);
    let next = Snapshot::empty(document.ledger.as_str().into(), document.revision, settings);
    let mut checker = Checker { next, dropped, problems };
    checker.others(&mut document);
    document.tenants.0.into_iter().for_each(|(slug, tenant)| checker.tenant(slug.into(), tenant));
    document.projects.0.into_iter().for_each(|(key, project)| checker.project(key.into(), project));
    document.apps.0.into_iter().for_each(|(key, app)| checker.app(key.into(), app));
    document.namespaces.0.into_iter().for_each(|(name, namespace)| checker.namespace(name.into(), namespace));
    checker.next
}

/// Entries go into `next`, owners first: a project looks up its tenant there.
pub(super) struct Checker<'a> {
    pub(super) next: Snapshot,
    pub(super) dropped: &'a Dropped,
    pub(super) problems: &'a mut Problems,
}

impl Checker<'_> {
    pub(super) fn tenant(&mut self, slug: Arc<str>, tenant: wire::Tenant) {
        let at = At::item("tenants", &slug);
        self.slug(at, check_tenant(&slug));
        let tenant = Tenant {
            id: self.id(at, Section::Tenants, &slug, tenant.id),
            status: self.status(at, &tenant.status),
            groups: self.groups(at, tenant.groups),
            registries: tenant.registries.and_then(|registries| self.registries(at, registries)),
            plan: tenant.plan.map(|plan| self.label(at.field("plan"), plan)),
            policy_sets: self.policy_sets(at, tenant.policy_sets),
        };
        let again = self.next.put_tenant(&slug, tenant);
        self.once(at, again);
    }

    pub(super) fn project(&mut self, key: Arc<str>, project: wire::Project) {
        let at = At::item("projects", &key);
        let Some((tenant, slug)) = key.split_once('/') else {
            self.problems.add(at, "the key names no tenant", "`tenant/project`");
            return;
        };
        self.slug(at, check_project(slug));
        let owner = self.next.tenants.get_key_value(tenant).map(|(owner, _)| Arc::clone(owner));
        if owner.is_none() && !self.dropped.holds("tenants", tenant) {
            self.problems.add(
                at,
                format_args!("the tenant {} is unknown", quoted(tenant)),
                "one of `tenants`",
            );
        }
        let id = self.id(at, Section::Projects, &key, project.id);
        let project = Project { id, tenant: owner.unwrap_or_else(|| tenant.into()), slug: slug.into() };
        let again = self.next.projects.insert(Arc::clone(&key), project).is_some();
        self.once(at, again);
    }

    pub(super) fn app(&mut self, key: Arc<str>, app: wire::App) {
        let at = At::item("apps", &key);
        let owner = key.rsplit_once('/').filter(|(project, _)| project.contains('/'));
        let Some((project, slug)) = owner else {
            self.problems.add(at, "the key names no tenant and project", "`tenant/project/app`");
            return;
        };
        self.slug(at, check_app(slug));
        if !self.next.projects.contains_key(project) && !self.dropped.holds("projects", project) {
            self.problems.add(
                at,
                format_args!("the project {} is unknown", quoted(project)),
                "one of `projects`",
            );
        }
        let source_kind = app.source_kind.map(|kind| self.label(at.field("sourceKind"), kind));
        let app = App { id: self.id(at, Section::Apps, &key, app.id), slug: slug.into(), source_kind };
        let again = self.next.apps.insert(Arc::clone(&key), app).is_some();
        self.once(at, again);
    }

    fn slug(&mut self, at: At<'_>, checked: Result<(), SlugError>) {
        if let Err(error) = checked {
            self.problems.add_error(at, error);
        }
    }

    fn once(&mut self, at: At<'_>, again: bool) {
        if again {
            self.problems.add(at, "the key occurs twice", "once");
        }
    }

    /// Checks that an id is a UUID and unique: a label with it must name one thing.
    fn id(&mut self, at: At<'_>, section: Section, key: &Arc<str>, id: String) -> Arc<str> {
        let id: Arc<str> = id.into();
        if !is_uuid(&id) {
            self.problems.add(at.field("id"), quoted(&id), UUID);
        } else if let Some((section, key)) = self.next.claim(&id, section, key) {
            let other = At::item(section.as_str(), &key);
            self.problems.add(
                at.field("id"),
                format_args!("`{id}` is already the id of `{other}`"),
                "a unique id",
            );
        }
        id
    }

    fn status(&mut self, at: At<'_>, status: &str) -> Status {
        match status {
            "active" => Status::Active,
            "suspended" => Status::Suspended,
            "deleting" => Status::Deleting,
            other => {
                self.problems.add(at.field("status"), quoted(other), "`active`, `suspended`, `deleting`");
                Status::Deleting
            }
        }
    }

    fn groups(&mut self, at: At<'_>, groups: Vec<String>) -> Vec<Arc<str>> {
        for (index, group) in groups.iter().enumerate() {
            let at = at.field("groups").index(index);
            if let Some((found, allowed)) = settings::name_objection(group) {
                self.problems.add(at, found, allowed);
            } else if settings::is_universal(group) || settings::is_privileged(&self.next.settings, group) {
                let found = format_args!("{} is not a group of a single tenant", quoted(group));
                self.problems.add(at, found, "no group of Kubernetes itself, none of class admin");
            } else if groups.iter().take(index).any(|earlier| earlier == group) {
                self.problems.add(at, format_args!("{} occurs twice", quoted(group)), "once");
            } else if let Some((found, allowed)) =
                crate::registered::get().and_then(|registered| registered.unmatched_group(group))
            {
                self.problems.add(at, found, allowed);
            }
        }
        groups.into_iter().map(Into::into).collect()
    }

    fn registries(&mut self, at: At<'_>, registries: wire::Registries) -> Option<Registries> {
        let at = at.field("registries");
        match registries {
            wire::Registries::Word(word) if word == "inherit" => Some(Registries::Inherit),
            wire::Registries::Word(word) => {
                self.problems.add(at, quoted(&word), "a list of entries, or `inherit`");
                None
            }
            wire::Registries::List(list) => {
                let path = |index| at.index(index);
                let entries = settings::entries(&list, path, self.problems);
                settings::check_ceiling(&entries, &self.next.settings.ceiling, path, self.problems);
                Some(Registries::List(
                    entries.into_iter().map(|(_, entry)| entry).collect::<Vec<RegistryEntry>>(),
                ))
            }
        }
    }

    fn label(&mut self, at: At<'_>, label: String) -> Arc<str> {
        if !is_dns_label(&label) {
            self.problems.add(at, quoted(&label), LABEL);
        }
        label.into()
    }
}

impl Checker<'_> {
    /// Checks what belongs to no tenant: ledger policies, exceptions, break-glass documents.
    pub(super) fn others(&mut self, document: &mut Document) {
        if let Some(policies) = &document.policies {
            let hex = policies.sha256.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            if policies.sha256.len() != 64 || !hex || policies.revision == 0 {
                let allowed = "a revision from 1 on, and 64 lower-case hexadecimal digits";
                self.problems.add("policies", quoted(&policies.sha256), allowed);
            }
        }
        self.next.policies = document.policies.take();
        self.exemptions(std::mem::take(&mut document.exceptions), std::mem::take(&mut document.breakglass));
    }

    fn exemptions(&mut self, exceptions: Keyed<Exception>, breakglass: Keyed<BreakglassEntry>) {
        for (id, exception) in &exceptions.0 {
            check_exception(id, exception, self.problems);
        }
        for (id, entry) in &breakglass.0 {
            let at = At::item("breakglass", id);
            match (&entry.document, &entry.signature, entry.closed) {
                (Some(document), Some(_), false) if *document.id == **id => {}
                (None, None, true) => {}
                (Some(document), Some(_), false) => {
                    let allowed = format_args!("`{}`, the document's own id", document.id);
                    self.problems.add(at, "the key is not the document's id", allowed);
                }
                _ => self.problems.add(
                    at,
                    "neither a signed document nor `closed`",
                    "`document` and `signature`, or `closed: true` alone",
                ),
            }
        }
        self.next.exceptions = Arc::new(self.by_id("exceptions", exceptions));
        self.next.breakglass = Arc::new(self.by_id("breakglass", breakglass));
    }

    fn by_id<T>(&mut self, section: &'static str, entries: Keyed<T>) -> BTreeMap<Arc<str>, T> {
        let mut all = BTreeMap::new();
        for (id, entry) in entries.0 {
            let id: Arc<str> = id.into();
            let again = all.insert(Arc::clone(&id), entry).is_some();
            self.once(At::item(section, &id), again);
        }
        all
    }
}

impl Checker<'_> {
    fn policy_sets(&mut self, at: At<'_>, mut sets: Vec<PolicySet>) -> Arc<[PolicySet]> {
        let at = at.field("policySets");
        let bytes = sets.iter().fold(0_usize, |sum, set| sum.saturating_add(rules_bytes(&set.rules)));
        for (what, found, most) in
            [("policy sets", sets.len(), SETS_MAX), ("bytes of rules", bytes, RULES_BYTES_MAX)]
        {
            if found > most {
                self.problems.add(at, format_args!("{found} {what}"), format_args!("{most} at most"));
            }
        }
        for (index, set) in sets.iter().enumerate() {
            let at = at.index(index);
            // A tenant must not block a plan's set by using its name, so names are unique per origin.
            let place = |set: &PolicySet| (set.origin, Arc::clone(&set.name), set.projects.is_empty());
            if sets.iter().take(index).any(|other| place(other) == place(set)) {
                let found = format_args!("{} occurs twice", quoted(&set.name));
                self.problems.add(at.field("name"), found, "once");
            }
            self.policy_set(at, set);
        }
        // General before specific: plan, platform, tenant; the whole tenant before a project.
        sets.sort_by_key(|set| (set.origin, !set.projects.is_empty()));
        sets.into()
    }

    fn policy_set(&mut self, at: At<'_>, set: &PolicySet) {
        if !is_dns_label(&set.name) {
            self.problems.add(at.field("name"), quoted(&set.name), LABEL);
        }
        for (what, found) in [("rules", set.rules.len()), ("projects", set.projects.len())] {
            if found > RULES_MAX {
                self.problems.add(at, format_args!("{found} {what}"), format_args!("{RULES_MAX} at most"));
            }
        }
        for (index, project) in set.projects.iter().enumerate() {
            if set.projects.iter().take(index).any(|other| other == project) {
                let found = format_args!("{} occurs twice", quoted(project));
                self.problems.add(at.field("projects"), found, "once");
            }
        }
        for rule in &set.rules {
            if rule.mode.as_deref().is_some_and(|mode| !MODES.contains(&mode)) {
                let mode = rule.mode.as_deref().unwrap_or_default();
                self.problems.add(at.field("rules"), quoted(mode), "`enforce`, `warn`, `audit`, `off`");
            }
            if rule.params.values().any(|value| depth(value) > PARAMS_DEPTH_MAX) {
                let found = format_args!("parameters of {} nest deeper", quoted(&rule.policy));
                self.problems.add(at.field("rules"), found, format_args!("{PARAMS_DEPTH_MAX} deep at most"));
            }
        }
    }
}

fn check_exception(id: &str, exception: &Exception, problems: &mut Problems) {
    let at = At::item("exceptions", id);
    if !is_dns_label(&exception.policy) {
        problems.add(at.field("policy"), quoted(&exception.policy), "the id of a policy");
    }
    for (field, found, range) in
        [("subjects", exception.subjects.len(), 0..=100), ("objects", exception.objects.len(), 1..=100)]
    {
        if !range.contains(&found) {
            problems.add(
                at.field(field),
                format_args!("{found} entries"),
                format_args!("{} to {}", range.start(), range.end()),
            );
        }
    }
    for (index, objects) in exception.objects.iter().enumerate() {
        if let Some(Err(error)) = objects.resource.as_deref().map(Pattern::parse) {
            problems.add_error(at.field("objects").index(index), error);
        }
    }
    if exception.expires.parse::<Timestamp>().is_err() {
        problems.add(at.field("expires"), quoted(&exception.expires), "a time of RFC 3339");
    }
}
