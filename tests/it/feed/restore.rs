//! `portcullis restore` under an API and gates that go on: they take the ledger that is there as a whole.

use super::stage::{On, SUSPENDED, Stage, decides, readiness, soon};
use crate::support::portcullis;

fn command(words: &[&str]) -> String {
    let output = portcullis().args(words).output().unwrap();
    let text = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned();
    assert!(output.status.success(), "{words:?}: {text}");
    text
}

fn restored(on: On) {
    let stage = Stage::new(on);
    let api = stage.api();
    let gates =
        [stage.gate(&["--resync-interval", "1h"]), stage.remote(&api.api, &["--resync-interval", "1h"])];
    stage.furnish(&api);
    let file = stage.text("ledger.backup.gz");
    command(&["backup", &file, "--database", &stage.url]);
    stage.suspend(&api, true);
    gates.iter().for_each(|gate| decides(gate, "before", SUSPENDED));
    let before = stage.number("SELECT revision FROM ledger");
    let refused = portcullis().args(["restore", &file, "--database", &stage.url]).output().unwrap();
    let refused = String::from_utf8(refused.stderr).unwrap();
    let (_, id) = refused.rsplit_once("--replace ").unwrap();
    let id = id.trim().trim_end_matches('`');
    let said = command(&["restore", &file, "--replace", id, "--database", &stage.url]);
    assert!(said.contains(&format!("restored at revision {}", before + 1)), "{said}");
    for gate in &gates {
        decides(gate, "by the ledger as it was", "");
        soon("a higher revision, and well", || {
            gate.metric("portcullis_snapshot_revision", &[]) > u64::try_from(before).unwrap()
                && readiness(gate) == (200, String::new())
        });
        assert_eq!(gate.metric("portcullis_snapshot_forks_total", &[]), 0, "it has a new id");
    }
    stage.suspend(&api, true);
    gates.iter().for_each(|gate| decides(gate, "and the next change", SUSPENDED));
    stage.verified();
}

#[test]
fn a_restore_under_a_running_api_is_followed_on_sqlite() {
    restored(On::Sqlite);
}

#[test]
fn a_restore_under_a_running_api_is_followed_on_postgres() {
    restored(On::Postgres);
}
