//! Which requesters the registered webhooks match: tenants' groups by their suffix, and KubeVela by one username. A
//! snapshot with others would leave their writes unchecked, so it is refused.

use std::sync::OnceLock;

use super::text::quoted;

/// The settings of the match conditions; an empty text matches everything.
#[derive(Debug)]
pub struct Registered {
    /// Suffix of every tenant's group.
    pub tenant_suffix: String,
    pub vela: String,
}

static REGISTERED: OnceLock<Registered> = OnceLock::new();

/// Checks every snapshot of this process against what is registered. Only the first call counts.
pub fn expect(registered: Registered) {
    let _ = REGISTERED.set(registered);
}

/// `None` outside `serve`, where no snapshot decides requests of a cluster.
pub(super) fn get() -> Option<&'static Registered> {
    REGISTERED.get()
}

impl Registered {
    /// Why no webhook matches a tenant's group, and what is allowed.
    pub(super) fn unmatched_group(&self, group: &str) -> Option<(String, String)> {
        (!group.ends_with(&self.tenant_suffix)).then(|| {
            (
                format!("{} is not matched by the webhooks `namespaces` and `cluster-writes`", quoted(group)),
                format!("a group that ends in {} (--webhook-tenant-suffix)", quoted(&self.tenant_suffix)),
            )
        })
    }

    /// Why no webhook matches an identity of class `vela`, and what is allowed.
    pub(super) fn unmatched_vela(&self, username: &str) -> Option<(String, String)> {
        (!self.vela.is_empty() && username != self.vela).then(|| {
            (
                format!("{} is not matched by the webhook `cluster-writes`", quoted(username)),
                format!("{} (--webhook-vela-user)", quoted(&self.vela)),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requesters_that_no_webhook_matches_are_refused() {
        let registered = Registered { tenant_suffix: "-devs".to_owned(), vela: "vela".to_owned() };
        assert_eq!(registered.unmatched_group("acme-devs"), None);
        let (found, allowed) = registered.unmatched_group("acme-people").unwrap();
        assert_eq!(found, "`acme-people` is not matched by the webhooks `namespaces` and `cluster-writes`");
        assert_eq!(allowed, "a group that ends in `-devs` (--webhook-tenant-suffix)");
        assert_eq!(registered.unmatched_vela("vela"), None);
        assert!(registered.unmatched_vela("other").is_some());
        let unrestricted = Registered { tenant_suffix: String::new(), vela: String::new() };
        assert_eq!(unrestricted.unmatched_group("acme-people"), None);
        assert_eq!(unrestricted.unmatched_vela("other"), None);
    }
}
