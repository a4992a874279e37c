//! What cannot be taken is refused whole and told; what was good before stays in force.

use std::time::Duration;

use super::{Mount, decides, gate, law, pause, put, readiness, said, soon};
use crate::support::wire::Ask;
use crate::support::{Gate, Options, wait};

const ERRORS: &[&str] = &["result=\"error\""];

#[test]
fn a_broken_law_is_refused_whole_and_forgotten_when_it_is_mended() {
    let dir = crate::broken_laws::directory(&[
        ("law.rego", &law(1)),
        ("witness.rego", &crate::broken_laws::witness()),
    ]);
    let gate = gate(dir.path());
    let errors = || gate.metric("portcullis_policy_reload_total", ERRORS);
    decides(&gate, "start", 1);
    let revision = gate.series("portcullis_policy_revision_info", &[]);
    // The other file of this change is good, and still is not taken.
    std::fs::write(dir.path().join("later.part"), "").unwrap();
    put(&dir.path().join("witness.rego"), "package portcullis.witness\n\ndeny contains {");
    soon("broken policy told", || {
        readiness(&gate, "policies")
            .1
            .starts_with("the last good policies are in force; the newest are refused: witness.rego:")
    });
    put(&dir.path().join("law.rego"), &law(2));
    soon("and told again", || errors() == 2);
    assert_eq!(readiness(&gate, "policies").0, 200);
    assert!(said(&gate).contains("first 1."), "{}", said(&gate));
    assert_eq!(gate.series("portcullis_policy_revision_info", &[]), revision);
    assert_eq!(gate.metric("portcullis_policy_last_reload_successful", &[]), 0);
    assert_eq!(gate.metric("portcullis_policy_broken", &["policy=\"witness.rego\""]), 1);
    put(&dir.path().join("witness.rego"), &crate::broken_laws::witness());
    decides(&gate, "mended", 2);
    soon("and the detail is gone", || readiness(&gate, "policies") == (200, String::new()));
    assert_eq!((errors(), gate.metric("portcullis_policy_broken", &[])), (2, 0));
    assert_eq!(gate.metric("portcullis_policy_last_reload_successful", &[]), 1);
}

/// What is refused once is counted once, however often somebody touches the directory beside it.
#[test]
fn one_broken_change_is_one_error() {
    let dir = crate::broken_laws::directory(&[("law.rego", &law(1))]);
    let gate = gate(dir.path());
    let errors = || gate.metric("portcullis_policy_reload_total", ERRORS);
    put(&dir.path().join("law.rego"), "package portcullis.law\n\ndeny contains {");
    soon("broken policy counted", || errors() == 1);
    for n in 0..10 {
        std::fs::write(dir.path().join(format!("note{n}.txt")), "nothing of the law's").unwrap();
        pause(20);
    }
    assert_eq!(errors(), 1);
    assert!(readiness(&gate, "policies").1.contains("the newest are refused"));
    // Put back as it was, the same law is in force as before, and nothing is wrong any more.
    put(&dir.path().join("law.rego"), &law(1));
    soon("put back", || readiness(&gate, "policies") == (200, String::new()));
    assert_eq!(gate.metric("portcullis_policy_last_reload_successful", &[]), 1);
}

#[test]
fn a_law_that_is_taken_away_is_no_law_that_allows() {
    let dir = crate::broken_laws::directory(&[("law.rego", &law(1))]);
    let gate = gate(dir.path());
    let aside = dir.path().with_extension("aside");
    std::fs::rename(dir.path(), &aside).unwrap();
    soon("directory gone", || readiness(&gate, "policies").1.contains("the newest are refused"));
    assert!(said(&gate).contains("first 1."));
    assert_eq!(readiness(&gate, "policies").0, 200);
    std::fs::rename(&aside, dir.path()).unwrap();
    put(&dir.path().join("law.rego"), &law(2));
    decides(&gate, "directory back", 2);
    std::fs::remove_file(dir.path().join("law.rego")).unwrap();
    soon("no policy at all", || readiness(&gate, "policies").1.contains("the bundle has no policy"));
    assert!(said(&gate).contains("first 2."));
}

#[test]
fn broken_tenants_keep_the_last() {
    let gate = Gate::start(&Options::default());
    let file = gate.path("tenancy.yaml");
    let world = std::fs::read_to_string(&file).unwrap();
    let errors = || gate.metric("portcullis_snapshot_reload_total", ERRORS);
    let good = || gate.ask("validate", &Ask::default().body()).json()["response"]["allowed"] == true;
    let mut count = 0;
    for broken in [
        "",
        "tenants: [",
        "{}",
        &world.replace("status: active", "status: asleep"),
        &world.replace("tenant: acme", "tenant: nobody"),
    ] {
        put(&file, broken);
        count += 1;
        soon("broken tenancy counted", || errors() == count);
        let (status, reason) = readiness(&gate, "tenancy");
        assert_eq!(status, 200);
        assert!(
            reason.starts_with("the last good snapshot is in force; the newest is rejected: "),
            "{reason}"
        );
        assert!(good());
    }
    // Reviews write the decision log beside the file; a look that finds the same bytes is no new error.
    pause(100);
    assert_eq!(errors(), count);
    std::fs::remove_file(&file).unwrap();
    soon("tenancy removed", || readiness(&gate, "tenancy").1.contains("cannot read the snapshot"));
    assert!(good());
    assert_eq!(gate.metric("portcullis_snapshot_revision", &[]), 42);
    put(&file, &world.replace("revision: 42", "revision: 50"));
    soon("mended", || gate.metric("portcullis_snapshot_revision", &[]) == 50);
    soon("and the detail is gone", || readiness(&gate, "tenancy") == (200, String::new()));
    // The very snapshot that was in force before, put back.
    put(&file, "tenants: [");
    soon("broken again", || !readiness(&gate, "tenancy").1.is_empty());
    put(&file, &world.replace("revision: 42", "revision: 50"));
    soon("put back", || readiness(&gate, "tenancy") == (200, String::new()));
}

#[test]
fn without_tenants_nobody_is_let_through_until_there_are_some() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("tenancy.yaml");
    let mut gate = Gate::start(&Options {
        extra: &["--tenancy", file.to_str().unwrap()],
        wait_ready: false,
        ..Options::default()
    });
    wait(Duration::from_secs(10), || {
        (readiness(&gate, "tenancy").1.contains("cannot read the snapshot")).then_some(())
    });
    assert_eq!(readiness(&gate, "tenancy").0, 503);
    assert_eq!(gate.get("/livez").0, 200);
    assert!(!gate.path("ready.json").exists());
    for namespace in ["tn-acme-shop-sbx-001", "kube-system", ""] {
        let ask = Ask { namespace: namespace.into(), ..Ask::default() };
        let answer = gate.ask("validate", &ask.body());
        let status = &answer.json()["response"]["status"];
        assert_eq!(
            (&status["code"], &status["reason"]),
            (&500.into(), &"InternalError".into()),
            "{namespace}"
        );
        assert!(
            answer.message().starts_with("no snapshot of the tenants is loaded yet; try again shortly\n"),
            "{}",
            answer.message()
        );
        let answer = gate.ask("mutate", &ask.body());
        assert_eq!((&answer.json()["response"]["allowed"], answer.patch().len()), (&true.into(), 0));
        assert_eq!(
            answer.warnings(),
            ["no patch was made: no snapshot of the tenants is loaded yet; try again shortly"]
        );
    }
    std::fs::copy(crate::support::root().join("tests/cases/example-tenancy.yaml"), &file).unwrap();
    soon("first tenancy", || readiness(&gate, "tenancy") == (200, String::new()));
    soon("ready file", || gate.path("ready.json").exists());
    gate.is_unharmed();
}

/// The mount's directory is removed and made anew, as when a volume is mounted again.
#[test]
fn a_directory_that_is_made_anew_is_followed() {
    let place = tempfile::tempdir().unwrap();
    let mount = Mount::new(place.path().join("policies"), &["law.rego"]);
    mount.lay("..1", &[("law.rego", &law(1))]);
    let gate = gate(&mount.0);
    std::fs::remove_dir_all(&mount.0).unwrap();
    soon("mount gone", || readiness(&gate, "policies").1.contains("the newest are refused"));
    let mount = Mount::new(place.path().join("policies"), &["law.rego"]);
    mount.lay("..2", &[("law.rego", &law(2))]);
    decides(&gate, "mount back", 2);
    mount.lay("..3", &[("law.rego", &law(3))]);
    decides(&gate, "and swapped", 3);
}
