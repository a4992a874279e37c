//! Policies that compile and then fail: in a loop, in a builtin, in what they say, in contradiction.

use std::time::{Duration, Instant};

use super::{directory, policy, witness};
use crate::support::wire::{Ask, SANDBOX};
use crate::support::{Gate, Options};

/// A policy's rules, the reason that is counted, and a part of the sentence.
type Row = (&'static str, &'static str, &'static str, &'static str);

const LOOP: &str = "deny contains \"never\" if {\n\tall := [x | some a in numbers.range(1, 3000); some b in numbers.range(1, 3000); x := concat(\"\", [sprintf(\"%d\", [a]), sprintf(\"%d\", [b])]); x == input.request.name]\n\tcount(all) > 0\n}";
const LOOP_IN_INPUT: &str = "deny contains \"never\" if {\n\tall := [1 | some a in input.request.object.data.list; some b in input.request.object.data.list; some c in input.request.object.data.list; some d in input.request.object.data.list; a == [b, c, d]]\n\tcount(all) > 0\n}";

const ROWS: &[Row] = &[
    ("loops", LOOP, "budget", "stopped: the policy used its"),
    ("loops-in-input", LOOP_IN_INPUT, "budget", "stopped: the policy used its"),
    (
        "keys-of-text",
        "deny contains \"never\" if count(object.keys(input.request.name)) > 5",
        "evaluation",
        "object.keys",
    ),
    (
        "bad-cidr",
        "deny contains \"never\" if net.cidr_contains(\"10.0.0.0/8\", input.request.name)",
        "evaluation",
        "",
    ),
    (
        "split-of-number",
        "deny contains \"never\" if split(input.request.object.data.number, \",\")[0] == \"1\"",
        "evaluation",
        "split",
    ),
    (
        "bad-regex",
        "deny contains \"never\" if regex.match(input.request.object.data.pattern, \"x\")",
        "evaluation",
        "",
    ),
    ("divides", "deny contains \"never\" if 1 / input.request.object.data.zero == 1", "evaluation", ""),
    (
        "says-number",
        "deny contains 5 if input.request.name",
        "evaluation",
        "`deny` holds a number; a finding is a string or an object of msg, field, observed, allowed, fix",
    ),
    ("says-null", "deny contains null if input.request.name", "evaluation", "`deny` holds null"),
    (
        "says-nothing",
        "deny contains object.remove({\"field\": \"a\", \"msg\": \"b\"}, [\"msg\"]) if input.request.name",
        "evaluation",
        "`deny` holds a finding without msg",
    ),
    (
        "says-too-much",
        "deny contains object.union({\"msg\": \"a\"}, {\"severity\": \"low\"}) if input.request.name",
        "evaluation",
        "`deny` holds a finding with the key \"severity\"",
    ),
    (
        "says-list",
        "deny contains {\"msg\": [\"a\"]} if input.request.name",
        "evaluation",
        "`deny` holds a finding whose msg is an array, not a string",
    ),
    (
        "says-undefined-details",
        "deny contains {\"msg\": \"a\", \"details\": {\"x\": input.request.object.data.absent}} if input.request.name",
        "evaluation",
        "`input.request.object.data.absent` (line 9)",
    ),
    (
        "is-map",
        "deny := {\"a\": \"b\"} if input.request.name",
        "",
        "`deny` must be a set; write `deny contains finding if …`",
    ),
    ("is-true", "deny if input.request.name", "", "`deny` must be a set; write `deny contains finding if …`"),
    (
        "conflict",
        "level := 1 if input.request.name\n\nlevel := 2 if input.request.namespace\n\ndeny contains \"never\" if level == 3",
        "evaluation",
        "",
    ),
    ("warns-wrong", "warn contains 5 if input.request.name", "evaluation", "`warn` holds a number"),
];

fn provocation(marked: bool) -> Ask {
    let list = (0..200).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    let marked = if marked { ",\"marked\":\"yes\"" } else { "" };
    Ask::configmap(
        SANDBOX,
        &format!(r#""data":{{"number":1,"zero":0,"pattern":"(","list":[{list}]{marked}}}"#),
    )
}

#[test]
fn a_law_that_fails_denies_by_name_and_the_others_go_on() {
    for (id, rules, reason, part) in ROWS {
        let files = [("failing.rego", policy(id, "", rules)), ("witness.rego", witness())];
        let dir = directory(&files.each_ref().map(|(name, text)| (*name, text.as_str())));
        let mut gate = Gate::start(&Options { policies: Some(dir.path()), ..Options::default() });
        let before = Instant::now();
        let answer = gate.ask("validate", &provocation(false).body());
        assert!(before.elapsed() < Duration::from_secs(5), "{id}");
        let status = &answer.json()["response"]["status"];
        assert_eq!(
            (&status["code"], &status["reason"]),
            (&500.into(), &"InternalError".into()),
            "{id}: {}",
            answer.json()
        );
        let message = answer.message();
        assert!(
            message.starts_with(&format!("[{id}] could not be evaluated (")) && message.contains(part),
            "{id}: {message}"
        );
        assert_eq!(message.lines().count(), 2, "{id}: {message}");
        let annotations = &answer.json()["response"]["auditAnnotations"];
        assert_eq!(
            (&annotations["verdict"], &annotations["policies"]),
            (&"error".into(), &format!("{id}=error").into()),
            "{id}"
        );
        let reason = if reason.is_empty() { "load" } else { reason };
        if reason != "load" {
            let labels = [format!("policy=\"{id}\""), format!("reason=\"{reason}\"")];
            assert_eq!(gate.metric("portcullis_policy_errors_total", &[&labels[0], &labels[1]]), 1, "{id}");
            assert_eq!(gate.metric("portcullis_policy_errors_total", &[]), 1, "{id}");
            assert_eq!(
                gate.metric("portcullis_policy_decisions_total", &[&labels[0], "outcome=\"error\""]),
                1,
                "{id}"
            );
        }
        let both = gate.ask("validate", &provocation(true).body());
        assert_eq!(
            (both.denied_by(), &both.json()["response"]["status"]["code"]),
            (vec!["witness"], &403.into()),
            "{id}: {}",
            both.message()
        );
        assert!(
            both.message().contains(&format!("[{id}] could not be evaluated")),
            "{id}: {}",
            both.message()
        );
        gate.is_unharmed();
    }
}

#[test]
fn on_error_allow_lets_pass_and_counts() {
    let rows =
        ROWS.iter().filter(|row| matches!(row.0, "loops" | "keys-of-text" | "says-number" | "conflict"));
    for (id, rules, reason, _) in rows {
        let files = [("failing.rego", policy(id, "on_error: allow", rules)), ("witness.rego", witness())];
        let dir = directory(&files.each_ref().map(|(name, text)| (*name, text.as_str())));
        let mut gate = Gate::start(&Options { policies: Some(dir.path()), ..Options::default() });
        let answer = gate.ask("validate", &provocation(false).body());
        assert_eq!(answer.json()["response"]["allowed"], true, "{id}: {}", answer.message());
        assert_eq!(answer.json()["response"]["auditAnnotations"]["policies"], format!("{id}=error"));
        let labels = [format!("policy=\"{id}\""), format!("reason=\"{reason}\"")];
        assert_eq!(gate.metric("portcullis_policy_errors_total", &[&labels[0], &labels[1]]), 1, "{id}");
        assert_eq!(gate.ask("validate", &provocation(true).body()).denied_by(), ["witness"]);
        gate.is_unharmed();
    }
}

/// On `/mutate` a failing law sends no patch, neither its own nor another's, and says so.
#[test]
fn a_failing_patch_is_no_patch_and_a_warning() {
    let failing = policy(
        "failing",
        "",
        "merge contains {\"data\": {\"x\": split(input.request.object.data.number, \",\")[0]}}",
    );
    let dir = directory(&[
        ("failing.rego", &failing),
        ("good.rego", &policy("good", "", "merge contains {\"data\": {\"good\": \"yes\"}}")),
    ]);
    let mut gate = Gate::start(&Options { policies: Some(dir.path()), ..Options::default() });
    let answer = gate.ask("mutate", &provocation(false).body());
    assert_eq!(
        (&answer.json()["response"]["allowed"], answer.patch().len()),
        (&true.into(), 0),
        "{}",
        answer.json()
    );
    assert!(
        answer
            .warnings()
            .iter()
            .any(|warning| warning.starts_with("no patch was made: [failing] could not be evaluated")),
        "{:?}",
        answer.warnings()
    );
    assert_eq!(
        gate.metric("portcullis_policy_errors_total", &["policy=\"failing\"", "reason=\"evaluation\""]),
        1
    );
    gate.is_unharmed();
}
