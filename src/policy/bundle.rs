//! A bundle: the policy files of one source in memory, with a digest that is their revision.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use portcullis_rego::Module;
use portcullis_rego::{Problem, Problems};
use portcullis_tenancy::snapshot::Rule;

/// A policy set that comes with the bundle, `sets/<name>.yaml`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundledSet {
    pub description: String,
    pub rules: Vec<Rule>,
}

#[derive(Debug, Clone, Default)]
pub struct Bundle {
    /// Policies and libraries, in order of path.
    pub modules: Vec<Module>,
    /// `*_test.rego`; only `policy test` and `policy check` compile them.
    pub tests: Vec<Module>,
    /// `data.params`: policy id → parameters.
    pub params: BTreeMap<String, Json>,
    /// Policy id → file of its parameters, for error locations.
    pub params_files: BTreeMap<String, Module>,
    /// Policy sets that plans name.
    pub sets: BTreeMap<String, BundledSet>,
    /// SHA-256 over paths and contents in order of path, lower-case hex; the revision of the policies.
    pub digest: String,
    /// Whether the parameters are known to fit their schemas, so that compiling skips the check.
    pub params_checked: bool,
}

const MODULE_BYTES_MAX: usize = 2_000_000;

impl Bundle {
    /// Reads (path inside the bundle, contents). Other files, for example cases or a README, are ignored.
    ///
    /// # Errors
    /// Every file that cannot be read.
    pub fn from_files<I>(files: I) -> Result<Self, Problems>
    where
        I: IntoIterator<Item = (String, Vec<u8>)>,
    {
        let files: BTreeMap<String, Vec<u8>> =
            files.into_iter().filter(|(path, _)| is_policy_file(path)).collect();
        let mut bundle = Self { digest: digest(&files), ..Self::default() };
        let mut problems = Problems::default();
        for (path, bytes) in files {
            if let Err(problem) = bundle.add(&path, bytes) {
                problems.0.push(problem);
            }
        }
        problems.into_result(bundle)
    }

    fn add(&mut self, path: &str, bytes: Vec<u8>) -> Result<(), Problem> {
        if bytes.len() > MODULE_BYTES_MAX {
            return Err(Problem::of(
                path,
                format!("has {} bytes; a policy file has at most {MODULE_BYTES_MAX}", bytes.len()),
            ));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            Problem::of(path, format!("is not UTF-8 at byte {}", error.utf8_error().valid_up_to()))
        })?;
        if let Some(name) = set_name(path) {
            self.sets.insert(name.to_owned(), parse_set(path, &text)?);
            return Ok(());
        }
        match params_id(path) {
            Some(id) => {
                let value = parse_params(path, &text)?;
                let file = Module { path: path.to_owned(), text };
                if let Some(other) = self.params_files.insert(id.to_owned(), file) {
                    return Err(Problem::of(
                        path,
                        format!(
                            "parameters of `{id}` are already set by {}; remove one of the files",
                            other.path
                        ),
                    ));
                }
                self.params.insert(id.to_owned(), value);
            }
            None if path.ends_with("_test.rego") => self.tests.push(Module { path: path.to_owned(), text }),
            None => self.modules.push(Module { path: path.to_owned(), text }),
        }
        Ok(())
    }
}

fn is_policy_file(path: &str) -> bool {
    !hidden(path) && (has_extension(path, "rego") || params_id(path).is_some() || set_name(path).is_some())
}

fn has_extension(path: &str, extension: &str) -> bool {
    std::path::Path::new(path).extension().is_some_and(|found| found == extension)
}

/// Editors' swap files, and `..data` of a ConfigMap mount.
fn hidden(path: &str) -> bool {
    path.split('/').any(|part| part.starts_with('.'))
}

/// `params/<id>/data.yaml` (or `.yml`, `.json`), at the bundle's root, as OPA roots it at `data.params.<id>`.
fn params_id(path: &str) -> Option<&str> {
    let (id, file) = path.strip_prefix("params/")?.split_once('/')?;
    matches!(file, "data.yaml" | "data.yml" | "data.json").then_some(id)
}

/// `sets/<name>.yaml`, at the bundle's root.
fn set_name(path: &str) -> Option<&str> {
    path.strip_prefix("sets/")?.strip_suffix(".yaml").filter(|name| !name.contains('/'))
}

fn parse_set(path: &str, text: &str) -> Result<BundledSet, Problem> {
    let set: BundledSet = serde_saphyr::from_str(text).map_err(|error| yaml_problem(path, &error))?;
    let modes = set.rules.iter().filter_map(|rule| rule.mode.as_deref());
    match modes.into_iter().find(|mode| super::Mode::parse(mode).is_none()) {
        Some(mode) => {
            Err(Problem::of(path, format!("mode `{mode}` is not one of off, audit, warn, enforce")))
        }
        None => Ok(set),
    }
}

fn yaml_problem(path: &str, error: &serde_saphyr::Error) -> Problem {
    let place = error.location();
    let (line, column) = place.map_or((0, 0), |p| (to_u32(p.line()), to_u32(p.column())));
    Problem::at(path, line, column, error.without_snippet().to_string())
}

fn parse_params(path: &str, text: &str) -> Result<Json, Problem> {
    let value: Json = serde_saphyr::from_str(text).map_err(|error| yaml_problem(path, &error))?;
    if !value.is_object() {
        return Err(Problem::of(path, "parameters must be a map, for example `steps: [deploy]`"));
    }
    match super::params::long_list(&value) {
        Some(long) => {
            let (line, column) = super::params::location_of(text, &long.steps);
            Err(Problem::at(path, line, column, long.to_string()))
        }
        None => Ok(value),
    }
}

fn to_u32(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn digest(files: &BTreeMap<String, Vec<u8>>) -> String {
    let mut hash = Sha256::new();
    for (path, bytes) in files {
        // Lengths keep `a` + `bc` and `ab` + `c` apart.
        hash.update((path.len() as u64).to_le_bytes());
        hash.update(path.as_bytes());
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    }
    hex::encode(hash.finalize())
}
