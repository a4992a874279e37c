//! `portcullis demo`, as the README promises it: one command, every write judged as it should be.

use crate::support::portcullis;

#[test]
fn the_demo_shows_what_it_promises() {
    let dir = tempfile::tempdir().unwrap();
    let output = portcullis().args(["demo", "--once", "--dir"]).arg(dir.path()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    for part in [
        "alice@acme.io",
        "kubenova-system/manager",
        "DENY",
        "allow",
        "registry-allowlist",
        "warning:",
        "patched: /metadata/labels",
        "portcullis_admission_requests_total",
        "policy new",
    ] {
        assert!(text.contains(part), "`{part}` is missing:\n{text}");
    }
    assert!(!text.contains("not as the demo expects"), "{text}");
    let log = std::fs::read_to_string(dir.path().join("decisions.jsonl")).unwrap();
    assert!(log.lines().count() >= 12, "{log}");
}
