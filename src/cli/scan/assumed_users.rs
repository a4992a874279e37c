//! The user that a scan assumes for each object, because an existing object does not name its author.

use crate::cli::review::users;
use portcullis_admission::PreparedSnapshot;
use portcullis_admission::cases::{TestUsers, User};
use portcullis_tenancy::requester::{BUILT_IN, Class};
use portcullis_tenancy::snapshot::{Identity, Kind};

const AUTHENTICATED: &str = "system:authenticated";

#[derive(Debug, Clone)]
pub struct AssumedUsers {
    named: Option<User>,
    platform: User,
    keeper: User,
    system: User,
}

/// If the policies deny the first user, the second shows whether the denial depends on the user.
#[derive(Debug, Clone)]
pub struct Pair {
    pub first: User,
    /// A controller of the control plane; `None` if --as names the user.
    pub second: Option<User>,
}

impl AssumedUsers {
    /// `named` replaces every assumption and has no second user.
    pub fn new(tenancy: &PreparedSnapshot, named: Option<User>) -> Self {
        let identities = &tenancy.snapshot.settings.identities;
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

    /// A Namespace counts as an object in itself.
    pub fn of(&self, tenancy: &PreparedSnapshot, namespace: &str, kind: Kind, is_namespace: bool) -> Pair {
        if let Some(named) = &self.named {
            return Pair { first: named.clone(), second: None };
        }
        let first = match kind {
            _ if is_namespace => self.keeper.clone(),
            Kind::Sandbox => tenant(tenancy, namespace),
            Kind::Unregistered => self.keeper.clone(),
            Kind::App | Kind::Platform | Kind::Cluster => self.platform.clone(),
        };
        Pair { first, second: Some(self.system.clone()) }
    }
}

/// A user of the sandbox's tenant; if the tenant has no groups, the sandbox's own service account.
fn tenant(tenancy: &PreparedSnapshot, namespace: &str) -> User {
    let snapshot = &tenancy.snapshot;
    let owner = snapshot.namespace(namespace).and_then(|known| snapshot.tenants.get_key_value(&known.tenant));
    match owner.and_then(|(slug, tenant)| Some((slug, tenant.groups.first()?))) {
        Some((slug, group)) => plain(&format!("tenant:{slug}"), Some(group)),
        None => users::named(&format!("system:serviceaccount:{namespace}:default"), &[], &TestUsers::new()),
    }
}

fn person(identity: &Identity) -> User {
    let name = identity.username.as_deref().unwrap_or(&identity.name);
    plain(name, identity.group.as_deref())
}

fn plain(username: &str, group: Option<&str>) -> User {
    let groups = group.into_iter().chain([AUTHENTICATED]).map(str::to_owned).collect();
    User { username: username.to_owned(), groups }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::evaluator;

    #[track_caller]
    fn check(namespace: &str, is_namespace: bool, first: &str) {
        let tenancy = evaluator::load_tenancy(None).expect("the example tenancy");
        let assumed_users = AssumedUsers::new(&tenancy, None);
        let pair = assumed_users.of(&tenancy, namespace, tenancy.snapshot.kind(namespace), is_namespace);
        assert_eq!(pair.first.username, first, "{namespace}");
        assert_eq!(pair.second.expect("asked twice").username, "system:kube-controller-manager");
    }

    #[test]
    fn an_authorized_user_is_assumed() {
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
        let tenancy = evaluator::load_tenancy(None).expect("the example tenancy");
        let assumed_users = AssumedUsers::new(&tenancy, Some(plain("eve", None)));
        let pair = assumed_users.of(&tenancy, "tn-acme-shop-sbx-001", Kind::Sandbox, false);
        assert_eq!((pair.first.username.as_str(), pair.second.is_none()), ("eve", true));
    }
}
