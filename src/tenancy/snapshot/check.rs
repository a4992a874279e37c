//! From the document to the snapshot: what its words mean, with every problem named.
//!
//! A wrong entry still takes its place here, so that what refers to it is not reported as well; whoever asked throws the
//! whole away if there was any problem. A change (`patch`) goes the same way, entry by entry, into a copy of the snapshot
//! that it changes; so both are held to the same rules.

mod identities;
mod leave;
mod namespaces;
mod policy_sets;
pub(super) mod settings;

use std::sync::Arc;

use super::error::{At, Problems};
use super::read::Dropped;
use super::wire::{self, Document};
use super::{App, Project, Registries, Section, Snapshot, Status, Tenant};
use crate::image::Entry;
use crate::slug::{SlugError, check_app, check_project, check_tenant};
use crate::text::{is_dns_label, is_uuid, quoted};

const UUID: &str = "a UUID in lower case";
const LABEL: &str = "one DNS label: lower-case letters, digits and inner hyphens, at most 63";

/// Checks the whole document.
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

/// Entries go into `next` owners first: a project looks for its tenant there.
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
            self.problems.add(at, "the key stands here twice", "once");
        }
    }

    /// A UUID, and nobody else's: a label with it must mean one thing.
    fn id(&mut self, at: At<'_>, section: Section, key: &Arc<str>, id: String) -> Arc<str> {
        let id: Arc<str> = id.into();
        if !is_uuid(&id) {
            self.problems.add(at.field("id"), quoted(&id), UUID);
        } else if let Some((section, key)) = self.next.claim(&id, section, key) {
            let other = At::item(section.as_str(), &key);
            self.problems.add(
                at.field("id"),
                format_args!("`{id}` is already the id of `{other}`"),
                "an id of its own",
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
            } else if settings::is_everybody(group) || settings::is_privileged(&self.next.settings, group) {
                let found = format_args!("{} is not a group of one tenant's people", quoted(group));
                self.problems.add(at, found, "no group of Kubernetes itself, none of class admin");
            } else if groups.iter().take(index).any(|earlier| earlier == group) {
                self.problems.add(at, format_args!("{} stands here twice", quoted(group)), "once");
            } else if let Some((found, allowed)) =
                crate::registered::get().and_then(|registered| registered.unseen_group(group))
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
                Some(Registries::List(entries.into_iter().map(|(_, entry)| entry).collect::<Vec<Entry>>()))
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
