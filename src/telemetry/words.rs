//! The closed vocabularies that metrics use as labels and the decision log as values.
//!
//! They are enums, so that a label cannot take a value from a request, and so that a counter is an index into an array.

use serde::{Serialize, Serializer};

macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$doc])* $variant),+ }

        impl $name {
            /// Every word, in the order of declaration; the position is the discriminant.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word as label and log carry it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// The word that reads exactly `text`, or none.
            pub fn of(text: &str) -> Option<Self> {
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

words! {
    /// The path a review came in by.
    Endpoint {
        /// `POST /validate`
        Validate = "validate",
        /// `POST /mutate`
        Mutate = "mutate",
    }
}

words! {
    /// The operation of a review.
    Operation {
        /// An object is made.
        Create = "CREATE",
        /// An object is changed.
        Update = "UPDATE",
        /// An object is removed.
        Delete = "DELETE",
        /// `exec`, `attach`, `portforward`, `proxy`
        Connect = "CONNECT",
        /// What Kubernetes does not have today; such a review is refused, and this is how it is counted.
        Other = "other",
    }
}

words! {
    /// What a review was answered.
    Verdict {
        /// Allowed, with or without warnings or a patch.
        Allow = "allow",
        /// A law denies: 403.
        Deny = "deny",
        /// Our own failure: 500 on `/validate`, allowed without a patch on `/mutate`.
        Error = "error",
    }
}

words! {
    /// The kind of namespace a review is about.
    NamespaceKind {
        /// In the snapshot as an app's.
        App = "app",
        /// In the snapshot as a sandbox.
        Sandbox = "sandbox",
        /// Named like ours and not in the snapshot.
        Unregistered = "unregistered",
        /// Every other namespace.
        Platform = "platform",
        /// No namespace.
        Cluster = "cluster",
        /// Not known, because the review failed before it was looked up.
        Unknown = "unknown",
    }
}

words! {
    /// What one policy said about one review.
    Outcome {
        /// It matched, ran, and found nothing; or its patch was not sent.
        Pass = "pass",
        /// It denied.
        Deny = "deny",
        /// It warned.
        Warn = "warn",
        /// It would have denied, in audit mode.
        Audit = "audit",
        /// Its patch was sent.
        Patch = "patch",
        /// It failed, and its `on_error` answered.
        Error = "error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_reads_back_and_its_position_is_its_discriminant() {
        for (position, word) in Operation::ALL.iter().enumerate() {
            assert_eq!(Operation::of(word.as_str()), Some(*word));
            assert_eq!(*word as usize, position);
        }
        assert_eq!(Outcome::of("DENY"), None);
    }
}
