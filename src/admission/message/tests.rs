use super::*;
use crate::Endpoint;
use crate::tests::blank;
use portcullis_policy::{Details, Finding, Value};

fn named(policy: &str, msg: &str) -> Named {
    Named { policy: policy.to_owned(), finding: Finding { msg: msg.to_owned(), ..Finding::default() } }
}

fn failure(policy: &str, denies: bool) -> Failure {
    Failure { policy: policy.to_owned(), reason: "budget", message: "it took\ntoo long".to_owned(), denies }
}

fn denied(denials: Vec<Named>) -> Verdict {
    Verdict { denials, ..blank(Endpoint::Validate) }
}

fn check(finding: Finding, expected: &str) {
    assert_eq!(line(&Named { policy: "p".to_owned(), finding }), expected);
}

#[test]
fn finding_is_one_line_without_absent_fields() {
    let all = Finding {
        field: "spec.a".to_owned(),
        msg: "is no".to_owned(),
        observed: Some("x".to_owned()),
        allowed: vec!["b".to_owned(), "c".to_owned()],
        allowed_omitted: 0,
        fix: Some("do".to_owned()),
        details: None,
    };
    check(all.clone(), "[p] spec.a: \"x\" is no (allowed: b, c); fix: do");
    check(Finding { field: String::new(), ..all.clone() }, "[p] \"x\" is no (allowed: b, c); fix: do");
    check(Finding { observed: None, ..all.clone() }, "[p] spec.a: is no (allowed: b, c); fix: do");
    check(
        Finding { observed: Some(String::new()), ..all.clone() },
        "[p] spec.a: \"\" is no (allowed: b, c); fix: do",
    );
    check(Finding { allowed: vec![], ..all.clone() }, "[p] spec.a: \"x\" is no; fix: do");
    check(Finding { fix: None, ..all }, "[p] spec.a: \"x\" is no (allowed: b, c)");
    check(Finding { msg: "no".to_owned(), ..Finding::default() }, "[p] no");
}

#[test]
fn what_a_tenant_wrote_ends_after_200_characters() {
    let long = Finding { observed: Some("é".repeat(201)), msg: "is long".to_owned(), ..Finding::default() };
    check(long, &format!("[p] \"{}…\" is long", "é".repeat(200)));
    let fits = Finding { observed: Some("é".repeat(200)), msg: "is long".to_owned(), ..Finding::default() };
    check(fits, &format!("[p] \"{}\" is long", "é".repeat(200)));
    // As they are shown: an escape is eight of them, and none is cut in two.
    let hidden =
        Finding { observed: Some("\u{202e}".repeat(201)), msg: "no".to_owned(), ..Finding::default() };
    check(hidden, &format!("[p] \"{}…\" no", "\\u{202e}".repeat(25)));
    let last = Finding {
        observed: Some(format!("{}\n", "a".repeat(196))),
        msg: "no".to_owned(),
        ..Finding::default()
    };
    check(last, &format!("[p] \"{}…\" no", "a".repeat(196)));
    let field = Finding { field: "f".repeat(300), msg: "no".to_owned(), ..Finding::default() };
    check(field, &format!("[p] {}…: no", "f".repeat(200)));
}

#[test]
fn eight_allowed_values_are_spelt_out() {
    let with = |count: u32| Finding {
        allowed: (0..count).map(|at| at.to_string()).collect(),
        msg: "no".to_owned(),
        ..Finding::default()
    };
    check(with(8), "[p] no (allowed: 0, 1, 2, 3, 4, 5, 6, 7)");
    check(with(11), "[p] no (allowed: 0, 1, 2, 3, 4, 5, 6, 7 and 3 more)");
}

#[test]
fn a_line_has_a_thousand_characters_at_most() {
    for finding in [
        named("p", &"m".repeat(5000)).finding,
        Finding { allowed: vec!["a".repeat(500); 8], fix: Some("f".repeat(900)), ..named("p", "m").finding },
        named("p", &"\u{202e}".repeat(5000)).finding,
    ] {
        let line = line(&Named { policy: "p".to_owned(), finding });
        assert_eq!((line.chars().count(), line.ends_with('…')), (1000, true));
    }
}

#[test]
fn control_and_bidirectional_characters_are_escaped_everywhere() {
    for (text, expected) in [
        ("a\nb", "a\\u{a}b"),
        ("a\r\tb", "a\\u{d}\\u{9}b"),
        ("\u{1b}[31m", "\\u{1b}[31m"),
        ("\u{0}\u{7f}\u{85}", "\\u{0}\\u{7f}\\u{85}"),
        ("\u{202e}x\u{202c}", "\\u{202e}x\\u{202c}"),
        ("\u{2066}\u{2069}\u{200e}\u{200f}\u{61c}", "\\u{2066}\\u{2069}\\u{200e}\\u{200f}\\u{61c}"),
        ("\u{2028}\u{2029}\u{feff}", "\\u{2028}\\u{2029}\\u{feff}"),
        ("größe 漢字 🚀 \"q\"", "größe 漢字 🚀 \"q\""),
    ] {
        assert_eq!(clean(text, 200), expected);
        let everywhere = Finding {
            field: text.to_owned(),
            msg: text.to_owned(),
            observed: Some(text.to_owned()),
            allowed: vec![text.to_owned()],
            allowed_omitted: 0,
            fix: Some(text.to_owned()),
            details: None,
        };
        check(
            everywhere,
            &format!("[p] {expected}: \"{expected}\" {expected} (allowed: {expected}); fix: {expected}"),
        );
    }
}

#[test]
fn a_denial_is_a_line_a_finding_then_failures_then_the_decision() {
    let mut verdict = denied(vec![named("b", "first"), named("a", "second")]);
    verdict.failures = vec![failure("c", true), failure("", true), failure("d", false)];
    assert_eq!(
        denial(&verdict),
        "[b] first\n[a] second\n[c] could not be evaluated (budget): it took\\u{a}too long\nit took\\u{a}too long\ndecision d-1"
    );
}

#[test]
fn twenty_findings_are_spelt_out_and_the_rest_counted() {
    let verdict = denied((0..23).map(|at| named("p", &at.to_string())).collect());
    let said = denial(&verdict);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!((lines.len(), lines[19], lines[20], lines[21]), (22, "[p] 19", "and 3 more", "decision d-1"));
    assert_eq!(denial_findings(&verdict).count(), 20);
    let exactly = denied((0..20).map(|at| named("p", &at.to_string())).collect());
    assert!(!denial(&exactly).contains("more"));
}

#[test]
fn a_message_has_8_kib_at_most() {
    for msg in ["m".repeat(900), "漢".repeat(1000), "🚀".repeat(2000)] {
        let verdict = denied((0..40).map(|at| named("p", &format!("{at}{msg}"))).collect());
        let said = denial(&verdict);
        assert!(said.len() <= 8192, "{}", said.len());
        assert!(said.ends_with("decision d-1") && said.contains(" more\n"));
        let spelt = said.lines().filter(|line| line.starts_with("[p]")).count();
        assert_eq!(denial_findings(&verdict).count(), spelt, "causes are the findings that are spelt out");
    }
}

fn warned(endpoint: Endpoint, texts: &[&str]) -> Vec<String> {
    warnings(&Verdict { warnings: texts.iter().map(|text| named("p", text)).collect(), ..blank(endpoint) })
}

#[test]
fn warnings_have_120_characters_and_come_once_each() {
    let long = "é".repeat(300);
    let found = warned(Endpoint::Validate, &["b", &long, "a", "b"]);
    assert_eq!(found.len(), 3);
    assert_eq!((found[0].as_str(), found[2].as_str()), ("[p] b", "[p] a"));
    assert_eq!((found[1].chars().count(), found[1].ends_with('…')), (120, true));
    assert_eq!(warned(Endpoint::Validate, &["a\nb\u{202e}"]), ["[p] a\\u{a}b\\u{202e}"]);
    let many: Vec<String> = (0..30).map(|at| at.to_string()).collect();
    assert_eq!(warned(Endpoint::Validate, &many.iter().map(String::as_str).collect::<Vec<_>>()).len(), 20);
}

#[test]
fn only_mutating_warns_of_failures_and_dropped_patches() {
    let with = |endpoint| {
        let mut verdict = blank(endpoint);
        verdict.failures = vec![failure("c", true)];
        verdict.dropped = vec![("d".to_owned(), "why\nnot".to_owned())];
        warnings(&verdict)
    };
    assert!(with(Endpoint::Validate).is_empty());
    assert_eq!(
        with(Endpoint::Mutate),
        [
            "no patch was made: [c] could not be evaluated (budget): it took\\u{a}too long",
            "the patch of d was dropped: why\\u{a}not",
        ]
    );
}

#[test]
fn a_foreign_tenant_reads_the_refusal_and_nothing_more() {
    let denials = || {
        vec![
            named("registry-allowlist", "allowed: registry.example.com/tenants/acme"),
            named("sandbox-writers", "it belongs to another tenant"),
        ]
    };
    let verdict = Verdict {
        denials: denials(),
        warnings: vec![named("reserved-metadata", "project p-shop")],
        failures: vec![failure("vela-own-namespace", true)],
        ..blank(Endpoint::Validate)
    };
    let own = denial(&verdict);
    assert!(own.contains("tenants/acme") && own.contains("vela-own-namespace"), "{own}");
    assert_eq!(warnings(&verdict).len(), 1);
    let foreign = Verdict { foreign: true, ..verdict.clone() };
    assert_eq!(denial(&foreign), "[sandbox-writers] it belongs to another tenant\ndecision d-1");
    assert_eq!(
        denial_findings(&foreign).map(|named| named.policy.as_str()).collect::<Vec<_>>(),
        ["sandbox-writers"]
    );
    assert_eq!(warnings(&foreign), Vec::<String>::new());
    // Where that policy does not deny, the others are all there is to read.
    let let_in = Verdict { denials: denials().drain(..1).collect(), ..foreign };
    assert!(denial(&let_in).contains("tenants/acme"), "{}", denial(&let_in));
}

#[test]
fn other_tenant_does_not_see_dropped_patches() {
    let verdict = Verdict {
        dropped: vec![("ownership-labels".to_owned(), "of project p-shop".to_owned())],
        failures: vec![failure("ownership-labels", true)],
        ..blank(Endpoint::Mutate)
    };
    assert_eq!(warnings(&verdict).len(), 2);
    assert_eq!(warnings(&Verdict { foreign: true, ..verdict }), Vec::<String>::new());
}

#[test]
fn what_else_is_allowed_is_counted() {
    let finding = Finding {
        msg: "is no".to_owned(),
        allowed: vec!["a".to_owned(), "b".to_owned()],
        allowed_omitted: 10_998,
        ..Finding::default()
    };
    check(finding, "[p] is no (allowed: a, b and 10998 more)");
}

#[test]
fn what_two_policies_say_alike_is_one_line_and_a_cause_of_each() {
    let verdict = denied(vec![named("a", "no"), named("a", "other"), named("b", "no"), named("b", "no")]);
    assert_eq!(denial(&verdict), "[a, b] no\n[a] other\ndecision d-1");
    let causes: Vec<String> = denial_findings(&verdict).map(line).collect();
    assert_eq!(causes, ["[a] no", "[b] no", "[b] no", "[a] other"]);
    let warned = Verdict { warnings: verdict.denials.clone(), ..blank(Endpoint::Validate) };
    assert_eq!(warnings(&warned), ["[a, b] no", "[a] other"]);
    // All of them are counted, and equal findings are counted once.
    let many = (0..30).flat_map(|at| ["a", "b"].map(|policy| named(policy, &at.to_string()))).collect();
    let text = denial(&denied(many));
    assert!(text.contains("[a, b] 19\nand 10 more\n"), "{text}");
}

#[test]
fn findings_that_differ_in_details_alone_are_one_line_and_each_a_cause() {
    let with = |policy: &str, at: u64| {
        let details = Details::read(&Value::from(at));
        Named { policy: policy.to_owned(), finding: Finding { details, ..named(policy, "no").finding } }
    };
    let verdict = denied(vec![named("a", "no"), with("a", 1), with("a", 2), with("b", 1)]);
    assert_eq!(denial(&verdict), "[a, b] no\ndecision d-1");
    let causes: Vec<_> = denial_findings(&verdict)
        .map(|named| (named.policy.as_str(), named.finding.details.as_ref()))
        .collect();
    let text: Vec<_> =
        causes.iter().map(|(policy, details)| (*policy, details.map_or("", Details::as_str))).collect();
    assert_eq!(text, [("a", ""), ("a", "1"), ("a", "2"), ("b", "1")]);
    let warned = Verdict { warnings: verdict.denials.clone(), ..blank(Endpoint::Validate) };
    assert_eq!(warnings(&warned), ["[a, b] no"]);
    let many = denied((0..1000).map(|at| with("a", at)).collect());
    assert_eq!((denial(&many).as_str(), denial_findings(&many).count()), ("[a] no\ndecision d-1", 20));
}
