//! Enums whose values are labels of metrics and fields of the decision log.
//!
//! An enum cannot take a value from a request, and its discriminant is an index into an array of counters.

use serde::{Serialize, Serializer};

macro_rules! label_values {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$doc])* $variant),+ }

        impl $name {
            /// In the order of the discriminants.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)+ _ => None }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}

label_values! {
    /// The HTTP path of a review.
    Endpoint {
        /// `POST /validate`
        Validate = "validate",
        /// `POST /mutate`
        Mutate = "mutate",
    }
}

label_values! {
    Operation {
        Create = "CREATE",
        Update = "UPDATE",
        Delete = "DELETE",
        /// `exec`, `attach`, `portforward`, `proxy`
        Connect = "CONNECT",
        /// An operation that Kubernetes does not define; such a review is rejected.
        Other = "other",
    }
}

label_values! {
    /// The response to a review.
    Verdict {
        /// Allowed, with or without warnings or a patch.
        Allow = "allow",
        /// A policy denies: 403.
        Deny = "deny",
        /// An internal error: 500 on `/validate`, allowed without a patch on `/mutate`.
        Error = "error",
    }
}

label_values! {
    /// The kind of the namespace of a review.
    NamespaceKind {
        /// The snapshot has it as the namespace of an app.
        App = "app",
        /// The snapshot has it as a sandbox.
        Sandbox = "sandbox",
        /// Its name has the prefix of tenant namespaces, and the snapshot does not have it.
        Unregistered = "unregistered",
        /// Every other namespace.
        Platform = "platform",
        /// No namespace.
        Cluster = "cluster",
        /// The review failed before the lookup.
        Unknown = "unknown",
    }
}

label_values! {
    /// The outcome of one policy for one review.
    Outcome {
        /// It matched and has no finding, or its patch was not sent.
        Pass = "pass",
        Deny = "deny",
        Warn = "warn",
        /// It has findings in audit mode.
        Audit = "audit",
        /// Its patch was sent.
        Patch = "patch",
        /// Its evaluation failed, and its `on_error` decided.
        Error = "error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_parses_back_and_its_position_is_its_discriminant() {
        for (position, label) in Operation::ALL.iter().enumerate() {
            assert_eq!(Operation::parse(label.as_str()), Some(*label));
            assert_eq!(*label as usize, position);
        }
        assert_eq!(Outcome::parse("DENY"), None);
    }
}
