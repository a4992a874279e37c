//! As whom an existing object is judged: whoever may rightfully have written it, since the object does not say who did.

use crate::cli::review::who;
use portcullis_admission::World;
use portcullis_admission::cases::{People, Person};
use portcullis_tenancy::requester::{BUILT_IN, Class};
use portcullis_tenancy::snapshot::{Identity, Kind};

/// What every authenticated requester is in.
const AUTHENTICATED: &str = "system:authenticated";

/// Who is taken to have written what.
#[derive(Debug, Clone)]
pub struct Writers {
    named: Option<Person>,
    platform: Person,
    keeper: Person,
    system: Person,
}

/// The first is asked; where the law denies, the second says whether it does so only for who was first.
#[derive(Debug, Clone)]
pub struct Pair {
    /// Who would write it.
    pub first: Person,
    /// A controller of the control plane, unless somebody was named.
    pub second: Option<Person>,
}

impl Writers {
    /// Of a world; `named` is judged by everywhere instead, and nobody is asked twice.
    pub fn new(world: &World, named: Option<Person>) -> Self {
        let identities = &world.snapshot.settings.identities;
        let first = |fits: &dyn Fn(&Identity) -> bool| identities.iter().find(|own| fits(own)).map(person);
        let system = plain(BUILT_IN.get(1).copied().unwrap_or_default(), None);
        let creates = first(&|own| own.creates_namespaces);
        let platform = first(&|own| own.class == Class::Platform);
        let admin = first(&|own| own.class == Class::Admin);
        Self {
            named,
            platform: creates.clone().or(platform).unwrap_or_else(|| system.clone()),
            keeper: creates.or(admin).unwrap_or_else(|| system.clone()),
            system,
        }
    }

    /// For an object in a namespace of a kind; a Namespace is in itself.
    pub fn of(&self, world: &World, namespace: &str, kind: Kind, is_namespace: bool) -> Pair {
        if let Some(named) = &self.named {
            return Pair { first: named.clone(), second: None };
        }
        let first = match kind {
            _ if is_namespace => self.keeper.clone(),
            Kind::Sandbox => tenant(world, namespace),
            Kind::Unregistered => self.keeper.clone(),
            Kind::App | Kind::Platform | Kind::Cluster => self.platform.clone(),
        };
        Pair { first, second: Some(self.system.clone()) }
    }
}

/// A person of the sandbox's tenant; of a tenant without groups, the sandbox's own service account.
fn tenant(world: &World, namespace: &str) -> Person {
    let snapshot = &world.snapshot;
    let owner = snapshot.namespace(namespace).and_then(|known| snapshot.tenants.get_key_value(&known.tenant));
    match owner.and_then(|(slug, tenant)| Some((slug, tenant.groups.first()?))) {
        Some((slug, group)) => plain(&format!("tenant:{slug}"), Some(group)),
        None => who::named(&format!("system:serviceaccount:{namespace}:default"), &[], &People::new()),
    }
}

fn person(identity: &Identity) -> Person {
    let name = identity.username.as_deref().unwrap_or(&identity.name);
    plain(name, identity.group.as_deref())
}

fn plain(username: &str, group: Option<&str>) -> Person {
    let groups = group.into_iter().chain([AUTHENTICATED]).map(str::to_owned).collect();
    Person { username: username.to_owned(), groups }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::law;

    #[track_caller]
    fn check(namespace: &str, is_namespace: bool, first: &str) {
        let world = law::world(None).expect("the example world");
        let writers = Writers::new(&world, None);
        let pair = writers.of(&world, namespace, world.snapshot.kind(namespace), is_namespace);
        assert_eq!(pair.first.username, first, "{namespace}");
        assert_eq!(pair.second.expect("asked twice").username, "system:kube-controller-manager");
    }

    #[test]
    fn whoever_may_write_it() {
        let manager = "system:serviceaccount:kubenova-system:manager";
        check("tn-acme-shop-sbx-001", false, "tenant:acme");
        check("tn-acme-shop-sbx-001", true, manager);
        check("tn-acme-shop-app-frontend", false, manager);
        check("tn-acme-shop-sbx-777", false, manager);
        check("default", false, manager);
        check("", false, manager);
    }

    #[test]
    fn a_named_one_is_everywhere_the_one() {
        let world = law::world(None).expect("the example world");
        let writers = Writers::new(&world, Some(plain("eve", None)));
        let pair = writers.of(&world, "tn-acme-shop-sbx-001", Kind::Sandbox, false);
        assert_eq!((pair.first.username.as_str(), pair.second.is_none()), ("eve", true));
    }
}
