//! Parameters of policies: `data.params`, and the modes that they may override.

mod place;
pub mod schema;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value as Json;

use super::manifest::Mode;
use portcullis_rego::problem::Problem;
use portcullis_tenancy::snapshot::Kind;

/// Entries of one list among parameters. A policy goes over a list for each object, image or label of a review, so that
/// a longer one would spend its budget.
pub const LIST_MAX: usize = 1000;

/// A list among parameters that is too long.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{}` has {length} entries; a list has at most {LIST_MAX}, since a review goes over it again and again: write a map, whose keys are looked up",
    .steps.join(".")
)]
pub struct LongList {
    /// The way to it.
    pub steps: Vec<String>,
    length: usize,
}

/// The first list that is too long, if there is one.
pub fn long_list(value: &Json) -> Option<LongList> {
    let inside = |step: String, value: &Json| {
        let mut found = long_list(value)?;
        found.steps.insert(0, step);
        Some(found)
    };
    match value {
        Json::Array(items) if items.len() > LIST_MAX => {
            Some(LongList { steps: Vec::new(), length: items.len() })
        }
        Json::Array(items) => items.iter().enumerate().find_map(|(at, item)| inside(at.to_string(), item)),
        Json::Object(entries) => entries.iter().find_map(|(key, value)| inside(key.clone(), value)),
        _ => None,
    }
}

/// Line and column of a value in a text of parameters; zeros where it cannot be found.
pub fn place_of(text: &str, steps: &[String]) -> (u32, u32) {
    place::of(text, steps).unwrap_or_default()
}

/// Overrides of one policy's mode, the most specific first.
#[derive(Debug, Clone, Default)]
pub struct Modes(Vec<Override>);

#[derive(Debug, Clone)]
struct Override {
    tenant: Option<String>,
    kind: Option<Kind>,
    mode: Mode,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Wire {
    #[serde(default)]
    tenant: Option<String>,
    #[serde(default)]
    namespace_kind: Option<String>,
    #[serde(deserialize_with = "word")]
    mode: String,
}

/// `off` is a boolean to YAML 1.1, and a mode to everybody else.
fn word<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    match Json::deserialize(deserializer)? {
        Json::Bool(false) => Ok(Mode::Off.as_str().to_owned()),
        Json::String(word) => Ok(word),
        other => Err(serde::de::Error::custom(format_args!("mode is {other}, not a word"))),
    }
}

impl Modes {
    /// Reads `modes` of a policy's parameters: `[{mode, tenant?, namespaceKind?}]`.
    ///
    /// # Errors
    /// An entry that cannot be read, a word that is unknown, or two entries for the same thing.
    pub fn parse(file: &str, params: Option<&Json>) -> Result<Self, Problem> {
        let Some(entries) = params.and_then(|params| params.get("modes")) else { return Ok(Self::default()) };
        let problem = |message: String| Problem::of(file, message);
        let wires: Vec<Wire> = Vec::deserialize(entries).map_err(|error| {
            problem(format!(
                "modes: {error}; an entry is `{{mode: warn, tenant: acme, namespaceKind: sandbox}}`"
            ))
        })?;
        let mut overrides: BTreeMap<(Option<String>, Option<Kind>), Mode> = BTreeMap::new();
        for (index, wire) in wires.into_iter().enumerate() {
            let mode = Mode::parse(&wire.mode).ok_or_else(|| {
                problem(format!(
                    "modes[{index}].mode `{}` is not one of {}",
                    wire.mode,
                    words(Mode::ALL, Mode::as_str)
                ))
            })?;
            let kind = wire.namespace_kind.as_deref().map(|word| {
                Kind::ALL.iter().copied().find(|kind| kind.as_str() == word).ok_or_else(|| {
                    problem(format!(
                        "modes[{index}].namespaceKind `{word}` is not one of {}",
                        words(Kind::ALL, Kind::as_str)
                    ))
                })
            });
            let kind = kind.transpose()?;
            if overrides.insert((wire.tenant, kind), mode).is_some() {
                return Err(problem(format!("modes[{index}] says again what an entry before it says")));
            }
        }
        let mut list: Vec<Override> =
            overrides.into_iter().map(|((tenant, kind), mode)| Override { tenant, kind, mode }).collect();
        list.sort_by_key(|entry| (entry.tenant.is_none(), entry.kind.is_none()));
        Ok(Self(list))
    }

    /// The mode for a tenant's namespace of a kind: tenant and kind, then tenant, then kind, then what holds for all.
    pub fn mode(&self, default: Mode, tenant: Option<&str>, kind: Kind) -> Mode {
        let fits = |entry: &&Override| {
            entry.tenant.as_deref().is_none_or(|name| Some(name) == tenant)
                && entry.kind.is_none_or(|known| known == kind)
        };
        self.0.iter().find(fits).map_or(default, |entry| entry.mode)
    }

    /// Whether nothing is overridden.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn words<T: Copy>(all: &[T], name: fn(T) -> &'static str) -> String {
    all.iter().map(|item| name(*item)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
