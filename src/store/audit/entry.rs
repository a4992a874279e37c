//! What is recorded of one deed.

use serde_json::Value;

use super::redact;

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Outcome {
    /// It was done.
    #[default]
    Ok,
    /// It was refused.
    Denied,
    /// It was tried and failed.
    Error,
}

impl Outcome {
    /// As it is stored: `ok`, `denied` or `error`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Denied => "denied",
            Self::Error => "error",
        }
    }
}

/// One deed. Who did it, and for which request, is the transaction's scope.
///
/// Values under keys that look like credentials are taken out of `before` and `after` as soon as the transaction is given
/// it; texts beyond what a document of the API can hold are the caller's to bound.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// `tenant.create`, `app.install`, …: a noun, a dot, a verb.
    pub action: &'static str,
    /// `tenant`, `app`, ….
    pub resource_type: &'static str,
    /// Its id, where it has one.
    pub resource_id: Option<String>,
    /// Its slug or name, for people.
    pub resource_name: Option<String>,
    /// Id of the tenant in whose chain it stands. Without it: the tenant that the scope is limited to, else `system`.
    pub tenant_id: Option<String>,
    /// How it went.
    pub outcome: Outcome,
    /// What it was.
    pub before: Option<Value>,
    /// What it is now.
    pub after: Option<Value>,
    /// Why, where somebody said so.
    pub reason: Option<String>,
}

impl Entry {
    /// A deed that was done to something; the rest is empty.
    pub const fn new(action: &'static str, resource_type: &'static str) -> Self {
        Self {
            action,
            resource_type,
            resource_id: None,
            resource_name: None,
            tenant_id: None,
            outcome: Outcome::Ok,
            before: None,
            after: None,
            reason: None,
        }
    }

    /// To which thing, by id and by the name that people know.
    #[must_use]
    pub fn of(mut self, id: &str, name: &str) -> Self {
        self.resource_id = Some(id.to_owned());
        self.resource_name = Some(name.to_owned());
        self
    }

    /// In whose chain.
    #[must_use]
    pub fn tenant(mut self, id: &str) -> Self {
        self.tenant_id = Some(id.to_owned());
        self
    }

    /// What it was.
    #[must_use]
    pub fn before(mut self, value: Value) -> Self {
        self.before = Some(value);
        self
    }

    /// What it is now.
    #[must_use]
    pub fn after(mut self, value: Value) -> Self {
        self.after = Some(value);
        self
    }

    /// Why.
    #[must_use]
    pub fn because(mut self, reason: &str) -> Self {
        self.reason = Some(reason.to_owned());
        self
    }

    pub(crate) fn redacted(mut self) -> Self {
        [&mut self.before, &mut self.after].into_iter().flatten().for_each(redact::redact);
        self
    }
}
