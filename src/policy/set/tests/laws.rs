//! Laws that are refused and laws that are taken, each held against what OPA 1.4 says of the same text.
//!
//! `laws/refused.yaml`: what would load and never fire. `laws/accepted.yaml`: what is legal, with what OPA finds in it.

use std::fmt::Write as _;

use super::*;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Corpus<Case> {
    /// Other modules of the bundle.
    library: String,
    /// What the accepted ones are asked about.
    #[serde(default)]
    input: serde_json::Value,
    laws: Vec<Case>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Refused {
    law: String,
    rego: String,
    /// What OPA says: an error's code, or that it takes it.
    opa: String,
    /// How each problem begins, behind `a.rego:`.
    says: Vec<String>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Accepted {
    law: String,
    rego: String,
    /// What OPA finds, in order.
    finds: Vec<String>,
}

fn files(rego: &str, library: &str) -> Vec<(&'static str, String)> {
    vec![("a.rego", policy("a", rego.trim_end())), ("lib.rego", library.to_owned())]
}

fn compiled(rego: &str, library: &str) -> Result<PolicySet, Problems> {
    let files = files(rego, library);
    compile(&files.iter().map(|(path, text)| (*path, text.as_str())).collect::<Vec<_>>())
}

#[test]
fn what_would_never_fire_is_refused() {
    let all: Corpus<Refused> = serde_saphyr::from_str(include_str!("laws/refused.yaml")).unwrap();
    let mut wrong = String::new();
    for case in &all.laws {
        assert!(!case.opa.is_empty() && !case.says.is_empty(), "{}", case.law);
        let said = compiled(&case.rego, &all.library).err().map(|problems| problems.to_string());
        let said = said.unwrap_or_default();
        let lines: Vec<&str> =
            said.lines().map(|line| line.strip_prefix("a.rego:").unwrap_or(line)).collect();
        let fits = lines.len() == case.says.len()
            && lines.iter().zip(&case.says).all(|(line, says)| line.starts_with(says.as_str()));
        if !fits {
            let _ = writeln!(wrong, "{}: {:#?}, not\n{said}", case.law, case.says);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(all.laws.len() > 100, "{}", all.laws.len());
}

#[test]
fn what_is_legal_is_taken_and_finds_what_opa_finds() {
    let all: Corpus<Accepted> = serde_saphyr::from_str(include_str!("laws/accepted.yaml")).unwrap();
    let input = Value::from(all.input.clone());
    let mut wrong = String::new();
    for case in &all.laws {
        let set = match compiled(&case.rego, &all.library) {
            Ok(set) => set,
            Err(problems) => {
                let _ = writeln!(wrong, "{}: {problems}", case.law);
                continue;
            }
        };
        let found = set.policy("a").unwrap().findings("deny", &input, &Value::new_object(), &mut meter());
        let found = found.map(|found| found.into_iter().map(|finding| finding.msg).collect::<Vec<_>>());
        if found.as_ref().ok() != Some(&case.finds) {
            let _ = writeln!(wrong, "{}: {:?}, not {found:?}", case.law, case.finds);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(all.laws.len() > 100, "{}", all.laws.len());
}
