//! The checked content of a policy's `# METADATA`: its id, when it applies, and what its findings lead to.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use portcullis_tenancy::resource::Pattern;
use portcullis_tenancy::snapshot::Kind;

#[derive(Debug, Clone)]
pub struct Manifest {
    /// Unique in a set, `[a-z][a-z0-9-]{1,62}`; names the policy in messages, metrics and parameters.
    pub id: String,
    pub title: String,
    pub description: String,
    /// For reports; it does not change the verdict.
    pub severity: Severity,
    /// What a finding of `deny` leads to; parameters can override it.
    pub mode: Mode,
    /// The answer when evaluating the policy fails.
    pub on_error: OnError,
    /// Wall-clock bound of one evaluation; `None` is the gate's own.
    pub budget: Option<Duration>,
    /// The policy applies where one entry matches.
    pub matches: Vec<Match>,
    /// Whether the policy gets Secret values unmasked.
    pub reads_secrets: bool,
    /// JSON Schema of its parameters; `combine` of a property is [`Combine`](super::combine::Combine).
    pub params_schema: Option<Arc<serde_json::Value>>,
    /// Line and column in the file, from 1.
    pub params_schema_location: (u32, u32),
    /// Whether upper layers cannot replace it.
    pub locked: bool,
    /// File and line of the METADATA block.
    pub location: (String, u32),
}

/// One entry of `match`: all three lists must hold.
#[derive(Debug, Clone)]
pub struct Match {
    /// Never empty.
    pub operations: Vec<Operation>,
    /// kubectl notation; never empty.
    pub resources: Vec<Pattern>,
    /// Never empty; all kinds where METADATA has none.
    pub namespaces: Vec<Kind>,
}

macro_rules! string_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| known.as_str() == word)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(self.as_str()) }
        }
    };
}

string_enum! {
    /// `request.operation`; PATCH arrives as UPDATE.
    Operation {
        /// A new object, a Binding, an Eviction, a token.
        Create = "CREATE",
        /// A changed object; PATCH and most subresources.
        Update = "UPDATE",
        /// A deleted object, one review each, also of a collection.
        Delete = "DELETE",
        /// exec, attach, port-forward and proxy.
        Connect = "CONNECT",
    }
}

string_enum! {
    /// What a finding of `deny` leads to, from the mildest.
    Mode {
        /// The policy is not evaluated.
        Off = "off",
        /// Recorded in log, metric and audit annotation.
        Audit = "audit",
        /// A warning to the requester.
        Warn = "warn",
        /// A denial.
        Enforce = "enforce",
    }
}

string_enum! {
    /// The answer when a policy fails.
    OnError {
        /// The default.
        Deny = "deny",
        /// The failure is counted and the policy is skipped.
        Allow = "allow",
    }
}

string_enum! {
    Severity {
        Low = "low",
        /// Causes problems later.
        Medium = "medium",
        /// A tenant can harm itself or the platform.
        High = "high",
        /// A tenant can reach another tenant.
        Critical = "critical",
    }
}
