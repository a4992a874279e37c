//! Classifies a requester by exact comparison of username and groups.
//!
//! Trusted classes are allow-lists; any other requester is a tenant's or unknown, and unknown has no rights in tenant
//! namespaces.

use std::sync::Arc;

use super::resource::Pattern;
use super::snapshot::{Identity, Snapshot};

/// Control plane components without a group of their own. A user who can obtain one of these names from the cluster's
/// CA owns the cluster already.
pub const BUILT_IN: [&str; 3] =
    ["system:apiserver", "system:kube-controller-manager", "system:kube-scheduler"];

pub(super) const NODE: &str = "system:node:";
pub(super) const SERVICE_ACCOUNT: &str = "system:serviceaccount:";
const SERVICE_ACCOUNTS: &str = "system:serviceaccounts:";

/// The class of a requester, which policies check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    Platform,
    /// KubeVela's controller, which acts for others.
    Vela,
    /// Capsule's controller, which acts for others.
    Capsule,
    /// Service accounts of kube-system, scheduler, API server, controller manager.
    System,
    Node,
    /// A configured controller, for what its `writes` list.
    Controller,
    Admin,
    /// Of one or more tenants, or a service account of a tenant namespace.
    Tenant,
    /// No rights in tenant namespaces.
    Unknown,
}

/// Who is asking.
#[derive(Debug, Clone, PartialEq)]
pub struct Requester {
    pub class: Class,
    /// `settings.identities[].name` of the identity that matched, else empty.
    pub name: Arc<str>,
    /// Slugs, sorted, each once; only with class `Tenant`, and empty there for a service account of a namespace that
    /// the snapshot does not hold.
    pub tenants: Vec<Arc<str>>,
    /// May create tenant namespaces; only with class `Platform`.
    pub creates_namespaces: bool,
    /// What a controller writes; empty for every other class.
    pub writes: Arc<[Pattern]>,
    /// Namespace and name, where the username is a service account's.
    pub service_account: Option<(String, String)>,
}

/// Classifies what the API server authenticated.
///
/// The first match wins: control plane, configured username, group of administrators, node, tenants. A configured
/// identity in kube-system is `System` and keeps its name. A service account of a tenant namespace can only be an
/// administrator or that tenant's.
pub fn classify(snapshot: &Snapshot, username: &str, groups: &[impl AsRef<str>]) -> Requester {
    let member = |group: &str| groups.iter().any(|own| own.as_ref() == group);
    let account = service_account(username);
    let requester = trusted(snapshot, username, account, &member);
    let requester = requester.unwrap_or_else(|| match account {
        Some((namespace, _)) if snapshot.is_tenant_name(namespace) => {
            tenant_account(snapshot, namespace, &member)
        }
        None if username.is_empty() || username.starts_with(SERVICE_ACCOUNT) => {
            Requester::plain(Class::Unknown) // the API server never sets such a name
        }
        _ => tenant_member(snapshot, groups),
    });
    let service_account = account.map(|(namespace, name)| (namespace.to_owned(), name.to_owned()));
    Requester { service_account, ..requester }
}

fn trusted(
    snapshot: &Snapshot,
    username: &str,
    account: Option<(&str, &str)>,
    member: &dyn Fn(&str) -> bool,
) -> Option<Requester> {
    if username.is_empty() {
        return None;
    }
    let find = |by_name: bool| {
        let mut identities = snapshot.settings.identities.iter();
        identities
            .find(|identity| identity.username.is_some() == by_name && matches(identity, username, member))
    };
    if !account.is_some_and(|(namespace, _)| snapshot.is_tenant_name(namespace)) {
        let named = find(true);
        let in_kube_system = account.is_some_and(|(namespace, _)| namespace == "kube-system");
        if in_kube_system && member("system:serviceaccounts:kube-system") || BUILT_IN.contains(&username) {
            let name = named.map(|identity| Arc::clone(&identity.name)).unwrap_or_default();
            return Some(Requester { name, ..Requester::plain(Class::System) });
        }
        if let Some(identity) = named {
            return Some(Requester::of(identity));
        }
    }
    if let Some(identity) = find(false) {
        return Some(Requester::of(identity));
    }
    let is_node = username.strip_prefix(NODE).is_some_and(|name| !name.is_empty()) && member("system:nodes");
    is_node.then(|| Requester::plain(Class::Node))
}

/// A service account of a tenant namespace belongs to that tenant, whatever groups impersonation adds.
fn tenant_account(snapshot: &Snapshot, namespace: &str, member: &dyn Fn(&str) -> bool) -> Requester {
    if !member(&[SERVICE_ACCOUNTS, namespace].concat()) {
        return Requester::plain(Class::Unknown);
    }
    let tenants = snapshot.namespace(namespace).map(|known| Arc::clone(&known.tenant)).into_iter().collect();
    Requester { tenants, ..Requester::plain(Class::Tenant) }
}

fn tenant_member(snapshot: &Snapshot, groups: &[impl AsRef<str>]) -> Requester {
    let mut tenants: Vec<_> =
        groups.iter().flat_map(|group| snapshot.tenants_of_group(group.as_ref()).iter().cloned()).collect();
    tenants.sort_unstable();
    tenants.dedup();
    let class = if tenants.is_empty() { Class::Unknown } else { Class::Tenant };
    Requester { tenants, ..Requester::plain(class) }
}

fn matches(identity: &Identity, username: &str, member: &dyn Fn(&str) -> bool) -> bool {
    identity.username.as_deref().is_none_or(|name| name == username)
        && identity.group.as_deref().is_none_or(member)
}

/// Namespace and name of a service account's username; neither is empty nor holds a colon.
pub(super) fn service_account(username: &str) -> Option<(&str, &str)> {
    let (namespace, name) = username.strip_prefix(SERVICE_ACCOUNT)?.split_once(':')?;
    (!namespace.is_empty() && !name.is_empty() && !name.contains(':')).then_some((namespace, name))
}

impl Requester {
    fn plain(class: Class) -> Self {
        Self {
            class,
            name: Arc::default(),
            tenants: Vec::new(),
            creates_namespaces: false,
            writes: Arc::default(),
            service_account: None,
        }
    }

    fn of(identity: &Identity) -> Self {
        Self {
            name: Arc::clone(&identity.name),
            creates_namespaces: identity.creates_namespaces,
            writes: Arc::clone(&identity.writes),
            ..Self::plain(identity.class)
        }
    }
}

impl Class {
    /// As policies see it: `platform`, `vela`, `capsule`, `system`, `node`, `controller`, `admin`, `tenant`, `unknown`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Platform => "platform",
            Self::Vela => "vela",
            Self::Capsule => "capsule",
            Self::System => "system",
            Self::Node => "node",
            Self::Controller => "controller",
            Self::Admin => "admin",
            Self::Tenant => "tenant",
            Self::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests;
