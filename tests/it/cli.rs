//! The command line as its users meet it: help, messages, exit codes, and the first five minutes of a policy author.
//!
//! What is printed is held against files below `golden/cli`; `UPDATE_GOLDEN=1` writes them anew.

mod docs;
mod run;
mod scan;
mod token;

use clap::CommandFactory as _;
use portcullis::cli::Cli;

use run::{Place, golden};

const POD: &str = "\
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: tn-acme-shop-sbx-001}
spec: {containers: [{name: web, image: \"registry.example.com/tenants/acme/web:latest\"}]}
";

#[test]
fn help_of_every_command() {
    let mut root = Cli::command().term_width(100);
    root.build();
    help(&mut root, "portcullis");
}

fn help(command: &mut clap::Command, name: &str) {
    golden(&format!("help/{}", name.replace(' ', "-")), &command.render_long_help().to_string());
    for below in command.get_subcommands_mut() {
        let name = format!("{name} {}", below.get_name());
        help(below, &name);
    }
}

#[test]
fn the_first_five_minutes() {
    let place = Place::new();
    let mut told = place.run(&["policy", "new", "no-latest-tag"], 0);
    told += &place.run(&["policy", "test", "policies"], 0);
    told += &place.run(&["policy", "check", "policies"], 0);
    told += &place.run(&["policy", "list", "policies"], 0);
    place.write("pod.yaml", POD);
    told += &place.run(&["review", "--policies", "policies", "pod.yaml"], 1);
    told += &place.run(&["policy", "eval", "--policies", "policies", "--trace", "pod.yaml"], 1);
    place.write("pod.yaml", &POD.replace(":latest", ":1.4.2"));
    told += &place.run(&["review", "--policies", "policies", "pod.yaml"], 0);
    told += &place.run(&["policy", "new", "no-latest-tag"], 2);
    golden("five-minutes", &told);
}

#[test]
fn an_id_that_is_a_word_of_rego_or_yaml_is_refused() {
    let place = Place::new();
    for id in ["default", "every", "if", "no", "on", "true"] {
        let said = place.run(&["policy", "new", id], 2);
        assert!(said.contains("is a word of Rego or YAML"), "{id}: {said}");
        assert!(!place.path("policies").exists(), "{id}");
    }
}

/// As after `kill -9`: whoever waits for the file would believe a process that is not there.
#[test]
fn a_start_that_fails_leaves_no_ready_file() {
    let place = Place::new();
    place.write("ready.json", "{}");
    place.run(&["serve", "--ready-file", "ready.json", "--policies", "missing"], 2);
    assert!(!place.path("ready.json").exists());
}

#[test]
fn what_is_wrong_is_shown_where_it_stands() {
    let place = Place::new();
    place.run(&["policy", "new", "no-latest-tag"], 0);
    let policy = place.read("policies/custom/no_latest_tag.rego");
    place.write("policies/custom/no_latest_tag.rego", &policy.replace("image.tag ==", "input.requst.tag =="));
    place.write(
        "policies/custom/mode.rego",
        &policy
            .replace("no-latest-tag", "mode")
            .replace("no_latest_tag", "mode")
            .replace("mode: enforce", "mode: enforced"),
    );
    place.write("policies/custom/clock.rego", "package clock\n\nnow := time.now_ns()\n");
    place.write(
        "policies/custom/cases/broken.yaml",
        "cases:\n  - {id: a, as: nobody, operation: CREATE, resource: pods, expect: {verdict: deny}}\n",
    );
    let mut told = place.run(&["policy", "check", "policies"], 1);
    told += &place.run(&["policy", "test", "policies"], 2);
    golden("problems", &told);
}

#[test]
fn a_failing_test_says_what_differs() {
    let place = Place::new();
    place.run(&["policy", "new", "no-latest-tag"], 0);
    let policy = place.read("policies/custom/no_latest_tag.rego");
    place.write(
        "policies/custom/no_latest_tag.rego",
        &policy.replace("image.tag == \"latest\"", "print(\"tag\", image.tag)\n\timage.tag == \"stable\""),
    );
    let mut told = place.run(&["policy", "test", "policies"], 1);
    told += &place.run(&["policy", "test", "policies", "--filter", "no-latest-tag/v*", "--require-tests"], 1);
    told += &place.run(&["policy", "test", "policies", "--filter", "nothing"], 1);
    told += &place.run(&["policy", "test", "policies", "--output", "plain"], 1);
    golden("failing-tests", &told);
    let junit = place.run(&["policy", "test", "policies", "--output", "junit"], 1);
    assert!(junit.contains("failures=\"4\"") || junit.contains("failures=\"3\""), "{junit}");
}

#[test]
fn usage_and_broken_input_say_what_to_do() {
    let place = Place::new();
    place.write("pod.yaml", POD);
    place.write("no-object.yaml", "a: 1\n");
    place.write("broken.yaml", "a: [\n");
    place.write("cut.json", "{\"kind\": \"Admission");
    place.write("v1beta1.json", "{\"apiVersion\": \"admission.k8s.io/v1beta1\", \"kind\": \"AdmissionReview\", \"request\": {\"uid\": \"1\"}}");
    let commands: &[&[&str]] = &[
        &["review", "absent.yaml"],
        &["review", "no-object.yaml"],
        &["review", "broken.yaml"],
        &["review", "cut.json"],
        &["review", "v1beta1.json"],
        &["review", "--operation", "PATCH", "pod.yaml"],
        &["review", "--operation", "UPDATE", "pod.yaml"],
        &["review", "--resource", "pods.v1", "pod.yaml"],
        &["review", "--resource", "pods/*", "pod.yaml"],
        &["review", "--namespace", "other", "pod.yaml"],
        &["review", "--policies", "absent", "pod.yaml"],
        &["review", "--tenancy", "absent.yaml", "pod.yaml"],
        &["review", "--ca", "pod.yaml", "--server", "https://127.0.0.1:1", "pod.yaml"],
        &["policy", "eval", "--policy", "absent", "--policies", "policies", "pod.yaml"],
        &["policy", "new", "No_Latest"],
        &["policy", "new", "ok", "--topic", "../x"],
        &["policy", "test", "--filter", "[", "absent"],
        &["name", "app", "ac-me", "shop", "web"],
        &["name", "sandbox", "acme", "shop", "1000"],
        &["name", "app", "acme", "shop", "web", "--prefix", "kube"],
    ];
    place.run(&["policy", "new", "no-latest-tag"], 0);
    golden("errors", &commands.iter().map(|words| place.run(words, 2)).collect::<String>());
}

#[test]
fn names_are_composed() {
    let place = Place::new();
    assert!(
        place.run(&["name", "app", "acme", "shop", "frontend"], 0).ends_with("\ntn-acme-shop-app-frontend\n")
    );
    assert!(
        place
            .run(&["name", "sandbox", "acme", "shop", "7", "--prefix", "t"], 0)
            .ends_with("\nt-acme-shop-sbx-007\n")
    );
}

#[test]
fn completions_for_every_shell() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(
            place.run(&["completions", shell], 0).contains("no-latest-tag")
                || place.run(&["completions", shell], 0).contains("review")
        );
    }
}

#[test]
fn requests_as_the_api_server_would_make_them() {
    let place = Place::new();
    place.write("pod.yaml", POD);
    place.write("many.yaml", &format!("{POD}---\napiVersion: v1\nkind: List\nitems:\n  - {{apiVersion: v1, kind: Namespace, metadata: {{name: plain}}}}\n  - {{apiVersion: example.com/v1, kind: Widget, metadata: {{name: w, namespace: default}}}}\n"));
    let one = |words: &[&str]| -> serde_json::Value { serde_json::from_str(&place.stdout(words)).unwrap() };
    let exec = one(&["review", "--as", "acme-dev", "--resource", "pods/exec", "-o", "json", "pod.yaml"]);
    assert_eq!(
        (&exec[0]["operation"], &exec[0]["object"]["kind"]),
        (&"CONNECT".into(), &"PodExecOptions".into())
    );
    let delete = one(&["review", "--as", "acme-dev", "--operation", "delete", "-o", "json", "pod.yaml"]);
    assert_eq!(
        (&delete[0]["operation"], &delete[0]["object"]["name"], &delete[0]["patch"]),
        (&"DELETE".into(), &"web".into(), &serde_json::json!([]))
    );
    let update = one(&["review", "--as", "acme-dev", "--old", "pod.yaml", "-o", "json", "pod.yaml"]);
    assert_eq!(update[0]["operation"], "UPDATE");
    let many = one(&["review", "-o", "json", "many.yaml"]);
    let kinds: Vec<_> =
        many.as_array().unwrap().iter().map(|one| one["object"]["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["Pod", "Namespace", "Widget"]);
    assert_eq!(many[1]["object"]["namespace"], "plain");
}

#[test]
fn colour_only_where_it_is_wanted() {
    let place = Place::new();
    place.write("pod.yaml", POD);
    assert!(!place.stdout(&["review", "pod.yaml"]).contains('\u{1b}'));
    assert!(place.stdout(&["review", "--color", "always", "pod.yaml"]).contains('\u{1b}'));
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let place = Place::new();
    assert_eq!(place.closed_pipe(&["policy", "builtins"]), "");
}
