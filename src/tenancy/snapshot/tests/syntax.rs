//! What is no document at all.

use super::*;

#[track_caller]
fn refused(text: &str, expected: &str) {
    for name in ["w.json", "w.yaml"] {
        let said = Snapshot::parse(name, text.as_bytes()).map(|_| ()).unwrap_err().to_string();
        assert_eq!(said.replace(name, "w"), expected, "{text}");
    }
}

#[test]
fn empty_text_is_not_an_empty_tenancy() {
    let empty = "`w` is empty (allowed: a document with `ledger`, `revision` and `tenants`)";
    for text in ["", " \n\t", "\u{feff}", "# only a comment\n", "---\n", "null", "~"] {
        refused(text, empty);
    }
    let missing = "`w` has 3 problems:\n  ledger: is missing (allowed: text)\n  revision: is missing (allowed: a whole number, not negative)\n  tenants: is missing (allowed: a map)";
    refused("{}", missing);
    refused("[]", "`w` has 1 problem:\n  the document: a list (allowed: a map)");
    let said = Snapshot::parse("w", b"tenants:\n\xff").unwrap_err().to_string();
    assert_eq!(said, "`w` is not UTF-8 from byte 9 on");
    assert!(matches!(Snapshot::parse("w", &vec![b' '; (64 << 20) + 1]), Err(SnapshotError::TooLarge { .. })));
}

#[test]
fn syntax_errors_name_the_place() {
    let check = |name: &str, text: &str, expected: &str| {
        let said = Snapshot::parse(name, text.as_bytes()).map(|_| ()).unwrap_err().to_string();
        assert!(said.starts_with(expected), "{said}");
    };
    check("w.json", "{\"ledger\": \"x\",\n  oops}", "`w.json` line 2, column 3: key must be a string");
    let twice = "{\"ledger\": \"x\", \"revision\": 1, \"tenants\": {}, \"tenants\": {}}";
    check("w.json", twice, "`w.json` line 1, column 55: duplicate field `tenants`");
    check("w.yaml", "ledger: x\n  tenants: [", "`w.yaml` line 2, column 10: ");
    check("w.yaml", "ledger: x\nledger: y\n", "`w.yaml` line 2, column 1: ");
    let twice = EXAMPLE
        .replace("projects:\n", "projects:\n  acme/shop: {id: 018f2b7c-0000-7000-8000-000000000099}\n");
    check("w.yaml", &twice, "`w.yaml` line 49, column 3: duplicate mapping key: acme/shop");
    check("w.yaml", "---\na: 1\n---\nb: 2\n", "`w.yaml` line 3, column 1: ");
    let deep = format!("{{\"tenants\": {}", "[".repeat(100_000));
    check("w.json", &deep, "`w.json` line 1, column ");
    check("w.yaml", &deep, "`w.yaml` line ");
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: [*f,*f,*f,*f,*f,*f,*f,*f,*f]\n";
    assert!(Snapshot::parse("w.yaml", bomb.as_bytes()).is_err());
}

#[test]
fn repeated_key_is_reported() {
    let tenancy: Value = serde_saphyr::from_str(EXAMPLE).unwrap();
    let twice = tenancy.to_string().replace(r#""globex":{"#, r#""acme":{"#);
    let said = Snapshot::parse("w.json", twice.as_bytes()).unwrap_err().to_string();
    assert!(said.contains("\n  tenants.acme: the key occurs twice (allowed: once)"), "{said}");
    let twice = tenancy.to_string().replace(r#""tn-acme-shop-sbx-001":{"#, r#""tn-acme-shop-app-frontend":{"app":"frontend","kind":"app","project":"shop","tenant":"acme"},"tn-acme-shop-sbx-001":{"#);
    let said = Snapshot::parse("w.json", twice.as_bytes()).unwrap_err().to_string();
    assert!(said.contains("frontend: the app or sandbox has two namespaces (allowed: one)"), "{said}");
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    /// Every pointer into the tenancy, to change one value anywhere.
    fn pointers(value: &Value, at: &str, all: &mut Vec<String>) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(key, value)| {
                let at = format!("{at}/{}", key.replace('/', "~1"));
                pointers(value, &at, all);
                all.push(at);
            }),
            Value::Array(items) => items.iter().enumerate().for_each(|(index, value)| {
                let at = format!("{at}/{index}");
                pointers(value, &at, all);
                all.push(at);
            }),
            _ => {}
        }
    }

    fn odd_value() -> impl Strategy<Value = Value> {
        let values = [
            json!(null),
            json!(1),
            json!(-1),
            json!(1.5),
            json!(70000),
            json!(true),
            json!([]),
            json!([1]),
            json!({}),
            json!({"x": 1}),
            json!("x"),
            json!("inherit"),
            json!(""),
        ];
        proptest::sample::select(values.to_vec())
    }

    proptest! {
        /// What the types refuse the schema's walk explains with a path: a refusal is never just a line and column.
        #[test]
        fn a_misplaced_value_is_always_named_by_path(at in any::<proptest::sample::Index>(), value in odd_value()) {
            let mut tenancy: Value = serde_saphyr::from_str(EXAMPLE).unwrap();
            let mut all = Vec::new();
            pointers(&tenancy, "", &mut all);
            *tenancy.pointer_mut(at.get(&all).as_str()).unwrap() = value;
            match Snapshot::parse("w.json", tenancy.to_string().as_bytes()) {
                Ok(_) | Err(SnapshotError::Invalid { .. }) => {}
                Err(other) => prop_assert!(false, "{}", other),
            }
        }

        #[test]
        fn parsing_never_panics(text in "(.{0,60}|[\\[\\]{}:,\"a \n&*-]{0,60})") {
            let _ = Snapshot::parse("w.yaml", text.as_bytes());
            let _ = Snapshot::parse("w.json", text.as_bytes());
        }
    }
}
