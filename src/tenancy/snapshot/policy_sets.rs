//! Policy sets as the snapshot carries them: settings of policies, attached to a tenant or one of its projects.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Settings of policies under one name. What the words mean to a policy is the law's business, and told by it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PolicySet")]
pub struct PolicySet {
    /// Its name, one DNS label; told where a value comes from.
    #[schemars(length(min = 1, max = 63))]
    pub name: Arc<str>,
    /// Who speaks: what a tenant says may only tighten.
    pub origin: Origin,
    /// Slug of the project it is for; absent means the whole tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<Arc<str>>,
    /// What it sets, at most 100 entries.
    #[schemars(length(max = 100))]
    pub rules: Vec<Rule>,
}

/// The law that the ledger keeps: a bundle of policies over the gate's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Law {
    /// Its number in the ledger, 1 or more.
    #[schemars(range(min = 1))]
    pub revision: u64,
    /// SHA-256 of its source, 64 lower-case hexadecimal digits.
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    pub sha256: String,
}

/// Who attached a policy set, in the order in which they are applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The tenant's plan.
    Plan,
    /// An administrator.
    Platform,
    /// The tenant itself.
    Tenant,
}

impl Origin {
    /// The word in the document.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Platform => "platform",
            Self::Tenant => "tenant",
        }
    }
}

/// What one set says of one policy.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The policy's id.
    #[schemars(length(min = 1, max = 63))]
    pub policy: Arc<str>,
    /// `enforce`, `warn`, `audit` or `off`; absent leaves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("enum" = ["enforce", "warn", "audit", "off"]))]
    pub mode: Option<Arc<str>>,
    /// Parameters by name.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub params: Map<String, Value>,
}
