//! What the webhook configurations in the cluster can see: tenants' people by the end of a group's name, and KubeVela by
//! one username. A snapshot with others would leave their writes unseen, so it is refused.

use std::sync::OnceLock;

use super::text::quoted;

/// The settings by which match conditions tell who asks; an empty text restricts nothing.
#[derive(Debug)]
pub struct Registered {
    /// What the name of every tenant's group ends in.
    pub tenant_suffix: String,
    /// The username of vela-core.
    pub vela: String,
}

static REGISTERED: OnceLock<Registered> = OnceLock::new();

/// Holds every snapshot of this process to what is registered. The first call counts.
pub fn expect(registered: Registered) {
    let _ = REGISTERED.set(registered);
}

/// What is registered for this process; `None` outside `serve`, where no snapshot decides requests of a cluster.
pub(super) fn get() -> Option<&'static Registered> {
    REGISTERED.get()
}

impl Registered {
    /// Why a tenant's group is not seen, and what would be.
    pub(super) fn unseen_group(&self, group: &str) -> Option<(String, String)> {
        (!group.ends_with(&self.tenant_suffix)).then(|| {
            (
                format!(
                    "{} is no group that the webhooks `namespaces` and `cluster-writes` are called for",
                    quoted(group)
                ),
                format!(
                    "a group that ends in {}, as --webhook-tenant-suffix says",
                    quoted(&self.tenant_suffix)
                ),
            )
        })
    }

    /// The same of an identity of class `vela`.
    pub(super) fn unseen_vela(&self, username: &str) -> Option<(String, String)> {
        (!self.vela.is_empty() && username != self.vela).then(|| {
            (
                format!("{} is not whom the webhook `cluster-writes` is called for", quoted(username)),
                format!("{}, as --webhook-vela-user says", quoted(&self.vela)),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_webhook_is_called_for_is_named() {
        let registered = Registered { tenant_suffix: "-devs".to_owned(), vela: "vela".to_owned() };
        assert_eq!(registered.unseen_group("acme-devs"), None);
        let (found, allowed) = registered.unseen_group("acme-people").unwrap();
        assert_eq!(
            found,
            "`acme-people` is no group that the webhooks `namespaces` and `cluster-writes` are called for"
        );
        assert_eq!(allowed, "a group that ends in `-devs`, as --webhook-tenant-suffix says");
        assert_eq!(registered.unseen_vela("vela"), None);
        assert!(registered.unseen_vela("other").is_some());
        let anybody = Registered { tenant_suffix: String::new(), vela: String::new() };
        assert_eq!(anybody.unseen_group("acme-people"), None);
        assert_eq!(anybody.unseen_vela("other"), None);
    }
}
