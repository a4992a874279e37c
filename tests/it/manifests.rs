//! Registration and deployment: what is printed, what its conditions let through, what the chart makes of it.

mod backstop;
mod chart;
mod conditions;
mod monitoring;
pub mod tools; // those of the ecosystem, from their own modules

use std::path::PathBuf;

use crate::support::{portcullis, root};

/// Compares with a file of the repository; `UPDATE_GOLDEN=1` writes it instead.
fn same_as_file(path: &str, text: &str) {
    let file = root().join(path);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, text).unwrap();
    }
    let known = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        known == text,
        "{path} is not what is printed now; look at it after UPDATE_GOLDEN=1 cargo test --test it manifests"
    );
}

/// Exit code, standard output and standard error.
fn run(words: &[&str]) -> (i32, String, String) {
    let done = portcullis().args(words).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (done.status.code().unwrap(), text(done.stdout), text(done.stderr))
}

fn printed(words: &[&str]) -> String {
    let (code, out, err) = run(&[&["manifests"], words].concat());
    assert_eq!(code, 0, "{err}");
    out
}

fn scratch(name: &str, text: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(name);
    std::fs::write(&file, text).unwrap();
    (dir, file)
}

#[test]
fn the_files_are_what_is_printed() {
    let text = printed(&[]);
    same_as_file("deploy/webhook.yaml", &text);
    same_as_file("charts/portcullis/files/webhook.yaml", &text);
}

#[test]
fn drift_is_shown_and_ends_in_one() {
    let (code, out, _) = run(&["manifests", "--check", root().join("deploy/webhook.yaml").to_str().unwrap()]);
    assert_eq!((code, out.contains("matches the expected configurations")), (0, true), "{out}");
    let (_dir, file) =
        scratch("webhook.yaml", &printed(&[]).replace("failurePolicy: Fail", "failurePolicy: Ignore"));
    let (code, out, err) = run(&["manifests", "--check", file.to_str().unwrap()]);
    assert_eq!(code, 1, "{out}{err}");
    assert!(
        out.contains("tenant-writes.portcullis.kubenova.io failurePolicy\n  - Ignore\n  + Fail"),
        "{out}"
    );
    assert!(err.contains("4 differences"), "{err}");
}

#[test]
fn json_is_one_list_of_the_same() {
    let list: serde_json::Value = serde_json::from_str(&printed(&["--output", "json"])).unwrap();
    let (_dir, file) = scratch("webhook.json", &list.to_string());
    let (code, out, _) = run(&["manifests", "--check", file.to_str().unwrap()]);
    assert_eq!((list["kind"].as_str(), code), (Some("List"), 0), "{out}");
    assert_eq!(printed(&["--only", "mutating"]).matches("kind: ").count(), 1);
}

#[test]
fn what_cannot_be_done_says_what_to_do() {
    let (_dir, key) = scratch("key.pem", "-----BEGIN PRIVATE KEY-----\n");
    for (words, sentence) in [
        (&["--apply", "--kubeconfig", "no/such/file"][..], "kubeconfig no/such/file: No such file"),
        (&["--check", "--kubeconfig", "no/such/file"], "kubeconfig no/such/file: No such file"),
        (&["--dry-run"], "--apply"),
        (&["--check", "no/such/file"], "`no/such/file`, the file of --check"),
        (&["--domain", "portcullis"], "--domain"),
        (&["--url", "http://127.0.0.1:8443"], "--url"),
        (&["--ca-bundle", key.to_str().unwrap()], "private key"),
        (&["--url", "https://h", "--service", "a/b"], "--service"),
    ] {
        let (code, _, err) = run(&[&["manifests"], words].concat());
        assert_eq!(code, 2, "{words:?}: {err}");
        assert!(err.contains(sentence), "{words:?}: {err}");
    }
}

#[test]
fn a_policy_that_waits_for_what_nobody_sends_is_named() {
    let law = "# METADATA\n# title: T\n# description: D.\n# custom:\n#   id: waits\n#   severity: low\n#   mode: warn\n#   on_error: allow\n\
               #   match:\n#     - operations: [CREATE]\n#       resources: [pods/log]\n#       namespaces: [app]\n\
               package portcullis.waits\n\nwarn contains \"w\"\n";
    let (dir, _) = scratch("waits.rego", law);
    let (code, _, err) = run(&["manifests", "--policies", dir.path().to_str().unwrap()]);
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("waits.rego:1") && err.contains("`pods/log`, which no webhook receives"), "{err}");
}

#[test]
fn certificates_are_made_once_and_their_keys_are_private() {
    use std::os::unix::fs::PermissionsExt as _;

    let dir = tempfile::tempdir().unwrap();
    let certs = dir.path().join("certs");
    let words =
        ["certs", "--dir", certs.to_str().unwrap(), "--name", "gate.example.com", "--ip", "127.0.0.1"];
    let (code, out, err) = run(&words);
    assert_eq!(code, 0, "{err}");
    assert!(
        out.contains("gate.example.com, 127.0.0.1") && out.contains("portcullis manifests --ca-bundle"),
        "{out}"
    );
    for (file, mode) in [("ca.pem", 0o644), ("ca-key.pem", 0o600), ("tls.pem", 0o644), ("tls-key.pem", 0o600)]
    {
        assert_eq!(std::fs::metadata(certs.join(file)).unwrap().permissions().mode() & 0o777, mode, "{file}");
    }
    let bundle = printed(&["--ca-bundle", certs.join("ca.pem").to_str().unwrap()]);
    assert_eq!(bundle.matches("caBundle: ").count(), 5);
    let before = std::fs::read(certs.join("ca.pem")).unwrap();
    let (code, _, err) = run(&words);
    assert_eq!((code, err.contains("--force")), (2, true), "{err}");
    assert_eq!(run(&[&words[..], &["--force"]].concat()).0, 0);
    assert_ne!(std::fs::read(certs.join("ca.pem")).unwrap(), before);
    assert_eq!(run(&["certs", "--dir", certs.to_str().unwrap(), "--name", "no name"]).0, 2);
}
