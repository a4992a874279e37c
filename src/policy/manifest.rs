//! What a policy's `# METADATA` says, checked: who it is, when it applies, and how hard it bites.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use portcullis_tenancy::resource::Pattern;
use portcullis_tenancy::snapshot::Kind;

/// Everything but the rules themselves.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// Unique in a set, `[a-z][a-z0-9-]{1,62}`; the name in messages, metrics and parameters.
    pub id: String,
    /// One line for people.
    pub title: String,
    /// What it is for, in a few sentences.
    pub description: String,
    /// How bad a violation is; told, not used to decide.
    pub severity: Severity,
    /// What a finding of `deny` leads to, unless parameters say otherwise.
    pub mode: Mode,
    /// What the gate answers when the policy itself fails.
    pub on_error: OnError,
    /// Wall-clock bound of one evaluation; `None` takes the gate's own.
    pub budget: Option<Duration>,
    /// When it applies; an entry is enough.
    pub matches: Vec<Match>,
    /// Whether Secret values reach it in the clear.
    pub reads_secrets: bool,
    /// JSON Schema of its parameters, whose properties may say with `combine` how values meet.
    pub params_schema: Option<Arc<serde_json::Value>>,
    /// Where in METADATA it stands: line and column of the file, from 1.
    pub params_schema_place: (u32, u32),
    /// Whether a later layer may replace it under the same id.
    pub locked: bool,
    /// File and line of the METADATA block.
    pub place: (String, u32),
}

/// One entry of `match`: all three lists must hold.
#[derive(Debug, Clone)]
pub struct Match {
    /// Operations; never empty.
    pub operations: Vec<Operation>,
    /// Resources in kubectl notation; never empty.
    pub resources: Vec<Pattern>,
    /// Kinds of namespace; never empty (left out means all of them).
    pub namespaces: Vec<Kind>,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// Every word, in order.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word as it is written.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The variant of a word; exact, no case folding.
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| known.as_str() == word)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(self.as_str()) }
        }
    };
}

words! {
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

words! {
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

words! {
    /// What the gate answers when a policy fails.
    OnError {
        /// An unknown is an error, and an error is a denial; the default.
        Deny = "deny",
        /// The failure is counted and the policy is passed over.
        Allow = "allow",
    }
}

words! {
    /// How bad a violation is.
    Severity {
        /// Hygiene.
        Low = "low",
        /// Trouble later.
        Medium = "medium",
        /// A tenant could hurt itself or the platform.
        High = "high",
        /// A tenant could reach another.
        Critical = "critical",
    }
}
