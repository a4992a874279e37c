//! Many objects cost no more memory than few.

use std::io::Write as _;
use std::process::Stdio;

use crate::support::portcullis;

/// Kibibytes that a process has held at most.
fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// What was held at most while so many objects came by standard input as one list; every tenth is denied.
fn held(objects: usize) -> u64 {
    let mut child = portcullis()
        .args(["scan", "--output", "ndjson", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let pid = child.id();
    let mut input = std::io::BufWriter::new(child.stdin.take().unwrap());
    input.write_all(b"{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [\n").unwrap();
    for n in 0..objects {
        let registry = if n % 10 == 0 { "evil.io" } else { "registry.example.com/tenants/acme" };
        writeln!(
            input,
            r#"{{"apiVersion": "v1", "kind": "Pod", "metadata": {{"name": "p{n}", "namespace": "tn-acme-shop-sbx-001", "annotations": {{"pad": "{}"}}}}, "spec": {{"containers": [{{"name": "x", "image": "{registry}/x:{n}"}}]}}}},"#,
            "x".repeat(2000)
        )
        .unwrap();
    }
    input.flush().unwrap();
    // The pipe holds 64 KiB at most, so all but a few dozen have been taken.
    let held = peak(pid);
    input.write_all(b"{\"apiVersion\": \"v1\", \"kind\": \"Node\"}]}").unwrap();
    drop(input);
    assert_eq!(child.wait().unwrap().code(), Some(1));
    held
}

#[test]
fn memory_does_not_grow_with_the_objects() {
    let (few, many) = (held(1000), held(20_000));
    // As text the twenty thousand are 43 MB; what is under way has a bound that the first thousand have reached.
    assert!(many < few + 16 * 1024, "{few} KiB for 1,000 objects, {many} KiB for 20,000");
}
