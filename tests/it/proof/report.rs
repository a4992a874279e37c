//! What was found, as a table for people.

use std::fmt::Write as _;

use super::Row;
use super::overload::{Share, rate};

/// The table of the events.
pub fn events(rows: &[Row]) -> String {
    let mut text = "| during | reviews | wrong | failed | failed on the victim's connections | through the API server | what was seen |\n\
                    |---|--:|--:|--:|--:|--:|---|\n"
        .to_owned();
    for Row { name, what, tally, writes } in rows {
        let elsewhere = tally.failed_elsewhere(&what.victims);
        let (on_victims, victims) = (tally.failed() - elsewhere, !what.victims.is_empty());
        let on_victims = if victims { on_victims.to_string() } else { "none there".to_owned() };
        let through = match (writes.unanswered.len(), writes.away) {
            (0, 0) => writes.sent.to_string(),
            (unanswered, 0) => format!("{}, {unanswered} unanswered", writes.sent),
            (_, away) => format!("{}, {away} while it was away", writes.sent),
        };
        let wrong = tally.wrong.len() + writes.wrong.len();
        let seen = &what.seen;
        let _ = writeln!(
            text,
            "| {name} | {} | {wrong} | {elsewhere} | {on_victims} | {through} | {seen} |",
            tally.sent
        );
    }
    text
}

/// The table of the tenants under more load than there is capacity for.
pub fn overload(capacity: f64, shares: &[Share]) -> String {
    let mut text = format!(
        "Capacity of the three replicas and the caller on this machine: {capacity:.0} reviews a second.\n\n\
         | tenant | asked for, a second | answered, a second | shed | wrong | failed |\n|---|--:|--:|--:|--:|--:|\n"
    );
    for share @ Share { tenant, wanted, tally } in shares {
        let asked = wanted / tally.took.as_secs_f64();
        let _ = writeln!(
            text,
            "| {tenant} | {asked:.0} | {:.0} | {} | {} | {} |",
            rate(&share.tally),
            tally.shed,
            tally.wrong.len(),
            tally.failed()
        );
    }
    text
}

const HEAD: &str = "\
# The proof

Three replicas of the release binary behind a TCP balancer, the ledger on PostgreSQL behind its API, a real kube-apiserver that
calls the balancer, and the shared cases (`tests/cases`) as reviews whose right verdicts are known. The figures below were
written by

```sh
make proof
```

A review counts as failed where the caller, which repeats nothing, got no answer within three seconds. For a replica that is
killed or frozen, calls on the connections it had may fail; they are counted apart. *Through the API server* are writes of
people, every 50 ms, that must be let through or refused with the law's sentence. What stops when no replica is left, and
what does not, is tried by `tests/it/controlplane/down.rs`. A short run of all this is part of `make test`.

";

/// Writes the document.
pub fn write(file: &std::path::Path, tables: &[String; 2]) {
    let [events, overload] = tables;
    let text =
        format!("{HEAD}## While things go wrong\n\n{events}\n## Twice the load\n\n{OVERLOAD}{overload}");
    std::fs::write(file, text).unwrap();
}

const OVERLOAD: &str = "\
One tenant asks for twice what there is capacity for, over 256 connections; two ask for a sixth each, half of a fair share.

";
