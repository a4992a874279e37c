//! What was found, as a table for people.

use std::fmt::Write as _;

use super::Row;
use super::overload::{Share, rate};
use super::soak::{P99, RESIDENT, Soak};

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

/// The table of the hostile tenants, and what the innocent one noticed.
pub fn soak(soak: &Soak) -> String {
    let mut text =
        "| kind | memory when one is judged alone | answered | of them refused for load | wrong or without an answer |\n|---|--:|--:|--:|--:|\n"
            .to_owned();
    for count in soak.hostile.iter().chain([&soak.slow]) {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} |",
            count.name,
            if count.alone > 0 { format!("{} MiB", count.alone >> 20) } else { "–".to_owned() },
            count.answered,
            count.refused,
            count.flaws.len()
        );
    }
    let milliseconds = |percent| soak.innocent.percentile(percent).as_secs_f64() * 1e3;
    let _ = writeln!(
        text,
        "\nThe innocent tenant: {} reviews, {} wrong or without an answer; half of them within {:.1} ms, 99 of 100 within {:.1} ms, all \
         within {:.1} ms. Resident memory of the gate: {} MiB before, at most {} MiB.",
        soak.innocent.took.len(),
        soak.innocent.flaws.len(),
        milliseconds(50),
        milliseconds(99),
        milliseconds(100),
        soak.resident_before >> 20,
        soak.resident >> 20,
    );
    text
}

const BEGIN: &str = "<!-- soak -->\n";
const END: &str = "<!-- /soak -->\n";

/// Writes the document, but for what another test writes into it.
pub fn write(file: &std::path::Path, tables: &[String; 2]) {
    let [events, overload] = tables;
    with_lock(|| {
        let soak = between(file).unwrap_or_default();
        let text = format!(
            "{HEAD}## While things go wrong\n\n{events}\n## Twice the load\n\n{OVERLOAD}{overload}\n{}{BEGIN}{soak}{END}",
            soak_head()
        );
        std::fs::write(file, text).unwrap();
    });
}

/// Writes the table of the soak into the document.
pub fn write_soak(file: &std::path::Path, table: &str) {
    with_lock(|| {
        let text = std::fs::read_to_string(file).unwrap();
        let (before, _) = text.split_once(BEGIN).expect("the marks of the soak");
        std::fs::write(file, format!("{before}{BEGIN}{table}{END}")).unwrap();
    });
}

/// Two tests write the document, and may end at the same moment.
fn with_lock(write: impl FnOnce()) {
    static LOCK: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _held = LOCK.lock().unwrap();
    write();
}

fn between(file: &std::path::Path) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    Some(text.split_once(BEGIN)?.1.split_once(END)?.0.to_owned())
}

fn soak_head() -> String {
    format!(
        "## Hostile tenants\n\nOne gate with the tenants of the cases. Hostile tenants send large, distinct, deep and long-listed reviews of \
         every kind below for a minute, each over two to 64\nconnections at full speed; slow bodies come from two more addresses. Beside them \
         an innocent tenant sends small Pods. No answer may be wrong or missing,\nthe gate stays below {} MiB, and 99 of 100 innocent \
         reviews are answered within {} ms.\n\n",
        RESIDENT >> 20,
        P99.as_millis()
    )
}

const OVERLOAD: &str = "\
One tenant asks for twice what there is capacity for, over 256 connections; two ask for a sixth each, half of a fair share.

";
