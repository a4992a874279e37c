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
    /// Slugs of the projects it is for, at most 100; absent or empty means the whole tenant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub projects: Vec<Arc<str>>,
    /// What it sets, at most 100 entries.
    #[schemars(length(max = 100))]
    pub rules: Vec<Rule>,
}

impl PolicySet {
    /// Whether it holds in a project, by its slug; without one, whether it holds in the whole tenant.
    pub fn holds_in(&self, project: Option<&str>) -> bool {
        self.projects.is_empty()
            || project.is_some_and(|project| self.projects.iter().any(|known| **known == *project))
    }
}

/// Most policy sets of a tenant, those of its plan included.
pub const SETS_MAX: usize = 100;

/// Most rules of a set, and most projects of one.
pub const RULES_MAX: usize = 100;

/// Most bytes of all rules of a tenant's sets, as JSON: every change of the tenant carries them to every gate.
pub const RULES_BYTES_MAX: usize = 256 * 1024;

/// How deep the parameters of a rule may nest. A gate's parser stops at 128 for the whole document.
pub const PARAMS_DEPTH_MAX: usize = 32;

/// Bytes of rules as JSON, for [`RULES_BYTES_MAX`].
pub fn rules_bytes(rules: &[Rule]) -> usize {
    serde_json::to_vec(rules).map_or(usize::MAX, |json| json.len())
}

/// How deep a value nests; a scalar is 0.
pub fn depth(value: &Value) -> usize {
    // Bounded before by the parser that read it, so recursion ends.
    let within =
        |values: &mut dyn Iterator<Item = &Value>| values.map(depth).max().map_or(1, |most| most + 1);
    match value {
        Value::Array(items) => within(&mut items.iter()),
        Value::Object(fields) => within(&mut fields.values()),
        _ => 0,
    }
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
