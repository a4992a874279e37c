//! Asking by hand: an object, and the AdmissionReview that kube-apiserver would send for it.

pub mod kinds;
pub mod request;

use bytes::Bytes;
use serde_json::Value as Json;

/// Why an object is no request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// An UPDATE of something of which nobody said what it was.
    #[error("{0}: an UPDATE needs what is there before: give it with --old FILE")]
    NoOld(String),
    /// The object says one namespace, and whoever asks another.
    #[error("{document}: its namespace is `{own}`, and --namespace says `{asked}`; kubectl refuses that too")]
    Namespace {
        /// Where it stands.
        document: String,
        /// What the object says.
        own: String,
        /// What is asked.
        asked: String,
    },
}

/// One object, or one whole AdmissionReview.
#[derive(Debug, Clone)]
pub struct Document {
    /// The file as it was given; `-` for standard input.
    pub source: String,
    /// Which document of the file, from 1; items of a list count.
    pub number: usize,
    /// What it says.
    pub value: Json,
    /// The bytes as they stand, where the file is one JSON AdmissionReview: what the gate makes of a key that stands
    /// twice, nobody else should have decided before.
    pub verbatim: Option<Bytes>,
}

impl Document {
    /// Whether it is an AdmissionReview.
    pub fn is_review(&self) -> bool {
        self.value.get("kind").and_then(Json::as_str) == Some("AdmissionReview")
    }

    /// A string at a JSON pointer; empty where there is none.
    pub fn text(&self, pointer: &str) -> &str {
        self.value.pointer(pointer).and_then(Json::as_str).unwrap_or_default()
    }

    /// Where it stands, for people.
    pub fn place(&self) -> String {
        format!("`{}` document {}", self.source, self.number)
    }
}
