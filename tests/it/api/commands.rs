//! The commands for people against a running server: `seed`, `apply`, `evaluate`, as the README has them.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use portcullis_access::Role;
use serde_json::Value;

use super::harness::Server;
use crate::support::wait;

/// A command of somebody with an administrator's token.
fn command(server: &Server, words: &[&str]) -> Command {
    let mut command = crate::support::portcullis();
    command.args(words).current_dir(server.dir.path());
    command.env("PORTCULLIS_API_URL", format!("http://{}", server.address));
    command.env("PORTCULLIS_TOKEN", server.token("root", Role::Admin, None, 600));
    command
}

fn run(server: &Server, words: &[&str]) -> Output {
    command(server, words).output().unwrap()
}

#[track_caller]
fn fine(server: &Server, words: &[&str]) -> String {
    let output = run(server, words);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn json(server: &Server, words: &[&str]) -> Value {
    serde_json::from_str(&fine(server, &[words, &["-o", "json"]].concat())).unwrap()
}

/// Ended when dropped.
struct Watcher(Child);

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn what_seed_makes_is_there_and_made_once() {
    let server = Server::start();
    let printed = fine(&server, &["seed", "--print"]);
    assert_eq!(server.ask("SELECT COUNT(*) FROM tenants"), "0", "printed, and nothing made");
    assert!(printed.contains("kind: Tenant"));
    fine(&server, &["seed"]);
    let count = |table: &str| server.ask(&format!("SELECT COUNT(*) FROM {table}"));
    let made = || ["tenants", "projects", "apps", "sandboxes", "catalog_items"].map(count);
    let first = made();
    assert_eq!([&*first[0], &*first[1]], ["3", "5"]);
    assert!(first[2..].iter().all(|count| count != "0"), "{first:?}");
    fine(&server, &["seed"]);
    assert_eq!(made()[..3], first[..3], "the second time there is nothing to make");
    let tenants = json(&server, &["tenant", "list"]);
    let names: Vec<_> =
        tenants.as_array().unwrap().iter().map(|tenant| tenant["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["acme", "globex", "initech"]);
    for (what, few) in [("settings", 5), ("cluster", 1), ("catalog", 1)] {
        let listed = json(&server, &[what, "list"]);
        assert!(listed.as_array().unwrap().len() >= few, "{what}: {listed}");
    }
    // What was printed is what `apply` takes, and it is all there.
    std::fs::write(server.dir.path().join("seed.yaml"), printed).unwrap();
    let again = fine(&server, &["apply", "-f", "seed.yaml"]);
    assert!(again.lines().all(|line| line.ends_with(" unchanged")), "{again}");
}

#[test]
fn apply_changes_what_differs_and_nothing_in_a_dry_run() {
    let server = Server::start();
    fine(&server, &["seed"]);
    let write = |text: &str| std::fs::write(server.dir.path().join("tenant.yaml"), text).unwrap();
    let name = || json(&server, &["tenant", "get", "acme"])["displayName"].clone();
    write("kind: Tenant\nname: acme\ndisplayName: Acme Corporation\n");
    let before = server.ask("SELECT COUNT(*) FROM audit_log");
    assert_eq!(
        run(&server, &["apply", "-f", "tenant.yaml", "--dry-run"]).status.code(),
        Some(1),
        "it would change"
    );
    assert_eq!(name(), "Acme");
    assert_eq!(server.ask("SELECT COUNT(*) FROM audit_log"), before, "nothing is kept of a dry run");
    let told = fine(&server, &["apply", "-f", "tenant.yaml"]);
    assert!(told.contains("acme"), "{told}");
    assert_eq!(name(), "Acme Corporation");
    for (text, word) in [
        ("kind: Tenant\nname: Acme\n", "name"),
        ("kind: Tenant\nname: acme\nregistries: [evil.example.com]\n", "/registries/0"),
        ("kind: Teapot\nname: acme\n", "Teapot"),
        ("kind: Tenant\nname: acme\ncolour: red\n", "colour"),
        ("kind: [", "tenant.yaml"),
    ] {
        write(text);
        let refused = run(&server, &["apply", "-f", "tenant.yaml"]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains(word), "{text}: {said}");
    }
    assert_eq!(name(), "Acme Corporation");
}

#[test]
fn evaluate_watches_a_verdict_flip() {
    let server = Server::start();
    fine(&server, &["seed"]);
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: tn-acme-shop-sbx-001}\n\
               spec: {containers: [{name: web, image: \"docker.io/library/nginx:1.29\"}]}\n";
    std::fs::write(server.dir.path().join("pod.yaml"), pod).unwrap();
    let words = ["evaluate", "pod.yaml", "--as", "alice", "--as-group", "acme-devs"];
    let said = wait(Duration::from_secs(20), || {
        let output = run(&server, &words);
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    });
    assert!(said.to_lowercase().contains("allow"), "{said}");
    let mut child = command(&server, &[&words[..], &["--watch"]].concat());
    let mut child = Watcher(child.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let (send, lines) = mpsc::channel();
    let out = child.0.stdout.take().unwrap();
    std::thread::spawn(move || {
        BufReader::new(out).lines().map_while(Result::ok).all(|line| send.send(line).is_ok())
    });
    let hears = |word: &str| {
        let deadline = std::time::Instant::now() + Duration::from_secs(30);
        let mut heard = String::new();
        while !heard.to_lowercase().contains(word) {
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            heard += &lines.recv_timeout(left).unwrap_or_else(|_| panic!("no `{word}` in {heard}"));
        }
    };
    hears("allow");
    let narrow = "kind: Tenant\nname: acme\nregistries: [registry.example.com/tenants/acme]\n";
    std::fs::write(server.dir.path().join("narrow.yaml"), narrow).unwrap();
    fine(&server, &["apply", "-f", "narrow.yaml"]);
    hears("registry-allowlist");
    let denied = run(&server, &words);
    assert_eq!(denied.status.code(), Some(1), "{}", String::from_utf8_lossy(&denied.stdout));
}

#[test]
fn a_scan_is_delivered_with_whose_the_objects_are() {
    let server = Server::start();
    fine(&server, &["seed"]);
    let pod = |n: usize, namespace: &str| {
        format!(
            "{{\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"metadata\": {{\"name\": \"p{n}\", \"namespace\": \"{namespace}\"}}, \
             \"spec\": {{\"containers\": [{{\"name\": \"x\", \"image\": \"evil.io/x:1\"}}]}}}}\n"
        )
    };
    let write = |name: &str, text: String| std::fs::write(server.dir.path().join(name), text).unwrap();
    write("two.ndjson", pod(1, "tn-acme-shop-sbx-001") + &pod(2, "tn-nobody-x-sbx-001"));
    let told = run(&server, &["scan", "--upload", "two.ndjson"]);
    let said = String::from_utf8_lossy(&told.stderr).into_owned();
    assert_eq!(told.status.code(), Some(1), "{said}");
    assert!(said.contains("uploaded to the ledger as scan") && said.contains("2 findings"), "{said}");
    assert!(!said.contains("example tenancy") && !said.contains("not uploaded"), "{said}");
    let count =
        |condition: &str| server.ask(&format!("SELECT COUNT(*) FROM scan_findings WHERE {condition}"));
    let acme = "tenant_id = (SELECT id FROM tenants WHERE slug = 'acme')";
    assert_eq!([count(acme), count("tenant_id IS NULL")], ["1", "1"]);
    assert_eq!(count("object = 'tn-acme-shop-sbx-001/pods/p1' AND policy = 'registry-allowlist'"), "1");
    // More than the ledger takes: it is told how much had no room, and nothing is lost in between.
    write("many.ndjson", (0..6000).map(|n| pod(n, "tn-acme-shop-sbx-001")).collect());
    let told = run(&server, &["scan", "--upload", "--limit", "1", "many.ndjson"]);
    let said = String::from_utf8_lossy(&told.stderr).into_owned();
    assert_eq!(told.status.code(), Some(1), "{said}");
    let left_out = number_before(&said, "findings not uploaded");
    let sent: usize = count("object <> 'tn-nobody-x-sbx-001/pods/p2'").parse::<usize>().unwrap() - 1;
    assert!(sent <= 5000 && sent > 1000, "{sent} {said}");
    assert_eq!(sent + left_out, 6000, "{said}");
}

/// The number that stands before these words.
fn number_before(text: &str, words: &str) -> usize {
    let (before, _) = text.split_once(&format!(" {words}")).unwrap_or_else(|| panic!("{text}"));
    before.rsplit(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
}
