//! Changes that are taken, whichever way they are written.

use portcullis_certs::develop::Use;

use super::{Mount, decides, gate, law, put, readiness, said, soon, under_load};
use crate::support::wire::{Ask, GLOBEX, GOOD, pod};
use crate::support::{Gate, Options};

#[test]
fn a_law_that_is_written_or_renamed_over_decides() {
    let dir = crate::broken_laws::directory(&[("law.rego", &law(1))]);
    let gate = gate(dir.path());
    decides(&gate, "start", 1);
    std::fs::write(dir.path().join("law.rego"), law(2)).unwrap();
    decides(&gate, "policy written in place", 2);
    put(&dir.path().join("law.rego"), &law(3));
    decides(&gate, "policy renamed over", 3);
    // A directory that was not there before is followed, too.
    std::fs::create_dir(dir.path().join("more")).unwrap();
    let more =
        |version| law(version).replace("id: law", "id: more").replace("portcullis.law", "portcullis.more");
    std::fs::write(dir.path().join("more/more.rego"), more(7)).unwrap();
    soon("policy in a new directory", || said(&gate).contains("[more] first 7."));
    put(&dir.path().join("more/more.rego"), &more(8));
    soon("and changed there", || said(&gate).contains("[more] first 8."));
    std::fs::remove_dir_all(dir.path().join("more")).unwrap();
    soon("and removed", || !said(&gate).contains("[more]"));
    assert_eq!(gate.metric("portcullis_policy_revision_info", &[]), 1, "one revision at a time");
}

#[test]
fn a_mount_that_swaps_its_symlink_is_followed_for_law_and_tenants() {
    let place = tempfile::tempdir().unwrap();
    let world =
        std::fs::read_to_string(crate::support::root().join("tests/cases/example-tenancy.yaml")).unwrap();
    let policies = Mount::new(place.path().join("policies"), &["law.rego", "data.yaml"]);
    let tenancy = Mount::new(place.path().join("tenancy"), &["tenancy.yaml"]);
    policies.lay("..2026_1", &[("law.rego", &law(1)), ("data.yaml", "{}")]);
    tenancy.lay("..2026_1", &[("tenancy.yaml", &world)]);
    let file = place.path().join("tenancy/tenancy.yaml");
    let gate = Gate::start(&Options {
        policies: Some(&policies.0),
        extra: &["--tenancy", file.to_str().unwrap()],
        ..Options::default()
    });
    for version in 2..6 {
        let name = format!("..2026_{version}");
        policies.lay(&name, &[("law.rego", &law(version)), ("data.yaml", "{}")]);
        decides(&gate, "policies' symlink swapped", version);
        tenancy.lay(
            &name,
            &[("tenancy.yaml", &world.replace("revision: 42", &format!("revision: {}", 100 + version)))],
        );
        soon("tenancy's symlink swapped", || {
            gate.metric("portcullis_snapshot_revision", &[]) == u64::from(100 + version)
        });
    }
    assert_eq!(readiness(&gate, "policies"), (200, String::new()));
    assert_eq!(readiness(&gate, "tenancy"), (200, String::new()));
}

#[test]
fn under_load_no_review_fails_and_none_sees_half_a_law() {
    let dir = crate::broken_laws::directory(&[("law.rego", &law(1))]);
    let gate = gate(dir.path());
    let whole = |message: &str| {
        let (_, first) = message.split_once("first ").expect(message);
        let (_, second) = message.split_once("second ").expect(message);
        assert_eq!(first.split_once('.').unwrap().0, second.split_once('.').unwrap().0, "{message}");
    };
    let asked = under_load(&gate, whole, || {
        for version in 2..=31 {
            put(&dir.path().join("law.rego"), &law(version));
            decides(&gate, "under load", version);
        }
    });
    eprintln!("{asked} reviews while the law changed 30 times");
    assert_eq!(gate.metric("portcullis_policy_reload_total", &["result=\"error\""]), 0);
}

/// Many files under one symlink change in one step, so no review may see some of them old and some new.
#[test]
fn a_swapped_mount_is_read_whole() {
    let place = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..60).map(|n| format!("law{n}.rego")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let files = |version: u32| -> Vec<String> {
        let one = |name: &&str| {
            law(version)
                .replace("id: law", &format!("id: {}", name.replace(".rego", "")))
                .replace("portcullis.law", &format!("portcullis.{}", name.replace(".rego", "")))
        };
        names.iter().map(one).collect()
    };
    let mount = Mount::new(place.path().join("policies"), &names);
    let lay = |version: u32| {
        let files = files(version);
        let pairs: Vec<(&str, &str)> =
            names.iter().zip(&files).map(|(name, text)| (*name, text.as_str())).collect();
        mount.lay(&format!("..2026_{version}"), &pairs);
    };
    lay(1);
    let gate = gate(&mount.0);
    let whole = |message: &str| {
        let mut versions: Vec<&str> =
            message.lines().filter_map(|line| Some(line.split_once("first ")?.1)).collect();
        versions.sort_unstable();
        versions.dedup();
        assert_eq!(versions.len(), 1, "{message}");
    };
    under_load(&gate, whole, || {
        for version in 2..40 {
            lay(version);
            if version % 4 == 0 {
                soon("a mount of 60 files", || said(&gate).contains(&format!("first {version}.")));
            }
        }
    });
}

#[test]
fn tenants_that_change_decide() {
    let gate = Gate::start(&Options::default());
    let file = gate.path("tenancy.yaml");
    let world = std::fs::read_to_string(&file).unwrap();
    let allowed = || gate.ask("validate", &Ask::default().body()).json()["response"]["allowed"] == true;
    assert!(allowed());
    let shrunk =
        world.replace("registries: [registry.example.com/tenants/acme, docker.io/library]", "registries: []");
    assert_ne!(shrunk, world);
    put(&file, &shrunk.replace("revision: 42", "revision: 43"));
    soon("allowlist shrunk, renamed over", || !allowed());
    let denied = gate.ask("validate", &Ask::default().body());
    assert_eq!(denied.denied_by(), ["registry-allowlist"]);
    assert!(denied.json()["response"]["auditAnnotations"]["revision"].as_str().unwrap().ends_with("/43"));
    std::fs::write(&file, &world).unwrap();
    soon("allowlist back, written in place", allowed);
    assert_eq!(gate.metric("portcullis_snapshot_revision", &[]), 42);
    // One tenant's list says nothing of another's.
    let foreign = Ask { namespace: GLOBEX.into(), object: pod(GOOD), ..Ask::default() };
    assert_eq!(gate.ask("validate", &foreign.body()).json()["response"]["allowed"], false);
}

/// `server::certificates` tries every way in which files change; this is the way through the whole gate.
#[test]
fn a_new_certificate_is_shown_and_kept_connections_go_on() {
    let gate = Gate::start(&Options::default());
    let mut kept = gate.dial();
    let ask = Ask::default().body();
    assert_eq!(kept.post("/validate", Some("application/json"), &ask).status, 200);
    let (old, expiry) = (
        kept.certificate(),
        gate.metric("portcullis_certificate_expiry_timestamp_seconds", &["name=\"serving\""]),
    );
    assert!(expiry > 0);
    let leaf = gate.authority.issue(&["127.0.0.1".into(), "localhost".into()], Use::Server).unwrap();
    leaf.write(&gate.path("tls.pem"), &gate.path("key.pem")).unwrap();
    soon("certificate replaced", || {
        let mut wire = gate.dial();
        wire.post("/validate", Some("application/json"), &ask).status == 200 && wire.certificate() != old
    });
    assert_eq!(kept.post("/validate", Some("application/json"), &ask).status, 200);
    assert_eq!(kept.certificate(), old);
}
