//! Modules that are refused and modules that are accepted, each with the result of OPA 1.4.
//!
//! `corpus/refused.yaml`: rules that could never match. `corpus/accepted.yaml`: valid modules, with OPA's findings.

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
    cases: Vec<Case>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Refused {
    name: String,
    rego: String,
    /// What OPA says: an error's code, or that it takes it.
    opa: String,
    /// How each problem begins, behind `a.rego:`.
    says: Vec<String>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Accepted {
    name: String,
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
fn rules_that_never_match_are_refused() {
    let all: Corpus<Refused> = serde_saphyr::from_str(include_str!("corpus/refused.yaml")).unwrap();
    let mut wrong = String::new();
    for case in &all.cases {
        assert!(!case.opa.is_empty() && !case.says.is_empty(), "{}", case.name);
        let said = compiled(&case.rego, &all.library).err().map(|problems| problems.to_string());
        let said = said.unwrap_or_default();
        let lines: Vec<&str> =
            said.lines().map(|line| line.strip_prefix("a.rego:").unwrap_or(line)).collect();
        let fits = lines.len() == case.says.len()
            && lines.iter().zip(&case.says).all(|(line, says)| line.starts_with(says.as_str()));
        if !fits {
            let _ = writeln!(wrong, "{}: {:#?}, not\n{said}", case.name, case.says);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(all.cases.len() > 100, "{}", all.cases.len());
}

#[test]
fn valid_modules_have_the_findings_of_opa() {
    let all: Corpus<Accepted> = serde_saphyr::from_str(include_str!("corpus/accepted.yaml")).unwrap();
    let input = Value::from(all.input.clone());
    let mut wrong = String::new();
    for case in &all.cases {
        let set = match compiled(&case.rego, &all.library) {
            Ok(set) => set,
            Err(problems) => {
                let _ = writeln!(wrong, "{}: {problems}", case.name);
                continue;
            }
        };
        let found = set.policy("a").unwrap().findings("deny", &input, &Value::new_object(), &mut meter());
        let found = found.map(|found| found.into_iter().map(|finding| finding.msg).collect::<Vec<_>>());
        if found.as_ref().ok() != Some(&case.finds) {
            let _ = writeln!(wrong, "{}: {:?}, not {found:?}", case.name, case.finds);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(all.cases.len() > 100, "{}", all.cases.len());
}
