use proptest::prelude::*;
use serde::Deserialize;

use super::*;

/// A row of names.json: with `name` it composes, with `error` it does not and the sentence holds that text.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    kind: String,
    tenant: String,
    project: String,
    app: Option<String>,
    sandbox: Option<u16>,
    name: Option<String>,
    error: Option<String>,
}

#[test]
fn recorded_cases_parse_as_expected() {
    let rows: Vec<Row> = serde_json::from_str(include_str!("../../../tests/cases/names.json")).unwrap();
    assert!(rows.len() >= 25);
    for row in rows {
        let composed = match (row.kind.as_str(), &row.app, row.sandbox) {
            ("app", Some(slug), None) => app("tn", &row.tenant, &row.project, slug),
            ("sandbox", None, Some(number)) => sandbox("tn", &row.tenant, &row.project, number),
            _ => panic!("a row is an app or a sandbox: {}/{}", row.tenant, row.project),
        };
        match (composed, row.name, row.error) {
            (Ok(composed), Some(name), None) => assert_eq!(composed, name),
            (Err(error), None, Some(says)) => assert!(error.to_string().contains(&says), "{error} / {says}"),
            (composed, name, error) => panic!("{composed:?} but the row says {name:?} {error:?}"),
        }
    }
}

#[test]
fn prefixes() {
    for good in ["tn", "t", "tenant2"] {
        assert_eq!(check_prefix(good), Ok(()));
    }
    for bad in ["", "tn-", "Tn", "2n", "kube", "abcdefghijk", "t.n"] {
        assert!(check_prefix(bad).unwrap_err().to_string().contains("is no namespace prefix"), "{bad}");
    }
}

fn owner() -> impl Strategy<Value = (String, String)> {
    // Few letters and the reserved words, so that collisions would be found.
    ("(a|b|ab|app|sbx|appa)", "(a|b|a-b|a--b|app|sbx|a-app|sbx-a|appx|b-a)")
}

proptest! {
    #[test]
    fn distinct_owners_have_distinct_names(
        (one, two) in (owner(), owner()),
        (a, b) in ("(a|app|sbx|a-app|app-a|sbx-001|a-sbx-001|1)", "(a|app|sbx|a-app|app-a|sbx-001|a-sbx-001|1)"),
        (m, n) in (0u16..1002, 0u16..1002),
    ) {
        let apps = (app("tn", &one.0, &one.1, &a), app("tn", &two.0, &two.1, &b));
        if let (Ok(left), Ok(right)) = &apps {
            prop_assert_eq!(left == right, (&one, &a) == (&two, &b));
        }
        let boxes = (sandbox("tn", &one.0, &one.1, m), sandbox("tn", &two.0, &two.1, n));
        if let (Ok(left), Ok(right)) = &boxes {
            prop_assert_eq!(left == right, (&one, m) == (&two, n));
        }
        if let (Ok(left), Ok(right)) = (apps.0, boxes.1) {
            prop_assert_ne!(left, right, "an app is never a sandbox");
        }
    }

    #[test]
    fn composing_never_panics_and_never_exceeds(tenant in ".{0,30}", project in ".{0,30}", slug in ".{0,30}", n: u16) {
        for name in [app("tn", &tenant, &project, &slug), sandbox("tn", &tenant, &project, n)].into_iter().flatten() {
            prop_assert!(name.len() <= LENGTH_MAX);
        }
    }
}
