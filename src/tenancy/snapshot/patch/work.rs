//! One change on its way: what it touches goes out, then in again, and after it whatever depends on that.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::check::{self, Checker};
use super::super::wire::{self, Document};
use super::super::{Section, Snapshot, SnapshotError, Unit, read};
use super::{Changes, Merged, Touched};

/// The snapshot before, and the change.
pub(super) struct Work<'a> {
    old: &'a Snapshot,
    merged: Merged,
}

/// Owners that went, or have another id or status now: what is theirs is looked at again.
#[derive(Default)]
struct Moved {
    tenants: BTreeSet<Arc<str>>,
    /// By `tenant/project`.
    projects: BTreeSet<String>,
    /// By `tenant/project/app`.
    apps: BTreeSet<String>,
}

impl<'a> Work<'a> {
    pub(super) fn new(old: &'a Snapshot, merged: Merged) -> Self {
        Self { old, merged }
    }

    pub(super) fn run(self, name: &str, revision: u64) -> Result<(Snapshot, Changes), SnapshotError> {
        let Self { old, merged: Merged { mut part, mut touched, settings, others } } = self;
        part.insert("revision".to_owned(), revision.into());
        let reading = read::value(name, part.into())?;
        let mut problems = reading.problems;
        let mut next = old.clone();
        next.revision = revision;
        next.digest = None;
        for section in Section::ALL {
            touched.of(section).iter().for_each(|key| next.take(section, key));
        }
        let mut checker = Checker { next, dropped: &reading.dropped, problems: &mut problems };
        let mut document = reading.document;
        if others {
            checker.others(&mut document);
        }
        enter(&mut checker, old, document, &touched, settings);
        let next = checker.next;
        problems.into_result(name)?;
        let slugs = touched.projects.iter().chain(&touched.apps);
        let slugs = slugs.map(|key| key.split_once('/').map_or(&**key, |(tenant, _)| tenant).into());
        let tenants = touched.tenants.iter().cloned().chain(slugs).collect();
        Ok((next, Changes { everything: others, settings, tenants }))
    }
}

/// Puts in what the document holds, owners first, and after each section what hangs on it.
fn enter(checker: &mut Checker<'_>, old: &Snapshot, document: Document, touched: &Touched, settings: bool) {
    let mut moved = Moved::default();
    if settings {
        settle(checker, document.settings);
    }
    document.tenants.0.into_iter().for_each(|(slug, tenant)| checker.tenant(slug.into(), tenant));
    for slug in &touched.tenants {
        let new = checker.next.tenants.get(slug);
        let Some(before) = old.tenants.get(slug) else { continue };
        if new.is_none() {
            let left: Vec<_> = checker.next.projects.below(slug).map(|(_, key, _)| Arc::clone(key)).collect();
            left.into_iter().for_each(|key| checker.again(Section::Projects, key));
        }
        if checker
            .next
            .tenants
            .get(slug)
            .is_none_or(|now| (&now.id, now.status) != (&before.id, before.status))
        {
            moved.tenants.insert(Arc::clone(slug));
        }
    }
    document.projects.0.into_iter().for_each(|(key, project)| checker.project(key.into(), project));
    for key in &touched.projects {
        let Some(before) = old.projects.get(key) else { continue };
        if !checker.next.projects.contains_key(key) {
            let left: Vec<_> = checker.next.apps.below(key).map(|(_, key, _)| Arc::clone(key)).collect();
            left.into_iter().for_each(|key| checker.again(Section::Apps, key));
        }
        if checker.next.projects.get(key).is_none_or(|now| now.id != before.id) {
            moved.projects.insert(key.to_string());
        }
    }
    document.apps.0.into_iter().for_each(|(key, app)| checker.app(key.into(), app));
    for key in &touched.apps {
        let Some(before) = old.apps.get(key) else { continue };
        if checker.next.apps.get(key).is_none_or(|now| now.id != before.id) {
            moved.apps.insert(key.to_string());
        }
    }
    moved.spaces(&checker.next).into_iter().for_each(|name| checker.again(Section::Namespaces, name));
    document.namespaces.0.into_iter().for_each(|(name, space)| checker.namespace(name.into(), space));
}

/// Takes new settings, under which every tenant that stays is checked again: its registries by the ceiling, its groups by
/// the identities. Tenants are far fewer than what they own.
fn settle(checker: &mut Checker<'_>, settings: wire::Settings) {
    checker.next.settings = check::settings::check(settings, checker.problems);
    let slugs: Vec<_> = checker.next.tenants.iter().map(|(slug, _)| Arc::clone(slug)).collect();
    slugs.into_iter().for_each(|slug| checker.again(Section::Tenants, slug));
}

impl Checker<'_> {
    /// Takes an entry out and puts it in as it was, by the rules of now.
    fn again(&mut self, section: Section, key: Arc<str>) {
        match section {
            Section::Tenants => {
                let Some(tenant) = self.next.tenants.get(&key).map(wire::Tenant::from) else { return };
                self.next.take(section, &key);
                self.tenant(key, tenant);
            }
            Section::Projects => {
                let Some(project) = self.next.projects.get(&key).map(wire::Project::from) else { return };
                self.next.take(section, &key);
                self.project(key, project);
            }
            Section::Apps => {
                let Some(app) = self.next.apps.get(&key).map(wire::App::from) else { return };
                self.next.take(section, &key);
                self.app(key, app);
            }
            Section::Namespaces => {
                let Some(space) = self.next.namespaces.get(&key).map(wire::Namespace::from) else { return };
                self.next.take(section, &key);
                self.namespace(key, space);
            }
        }
    }
}

impl Moved {
    /// Namespaces of what moved. Looked for among all: a namespace's name is never taken apart to find its owner.
    fn spaces(&self, snapshot: &Snapshot) -> Vec<Arc<str>> {
        if self.tenants.is_empty() && self.projects.is_empty() && self.apps.is_empty() {
            return Vec::new();
        }
        let of_moved = snapshot.namespaces.iter().filter(|(_, space)| {
            let project = || format!("{}/{}", space.tenant, space.project);
            let app = || match &space.unit {
                Unit::App { app, .. } => self.apps.contains(&format!("{}/{app}", project())),
                Unit::Sandbox { .. } => false,
            };
            self.tenants.contains(&space.tenant)
                || (!self.projects.is_empty() && self.projects.contains(&project()))
                || (!self.apps.is_empty() && app())
        });
        of_moved.map(|(name, _)| Arc::clone(name)).collect()
    }
}
