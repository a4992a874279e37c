//! The proof of what design and `docs/proof.md` promise: three replicas behind a balancer, PostgreSQL, a real
//! kube-apiserver, and a bounded load of reviews whose right verdicts are known, while things go wrong.
//!
//! `make test` runs it short; `make proof` sends 100,000 reviews during each event and writes `docs/proof.md`.

mod balancer; // connections in turn to what is ready
mod caller; // one kept connection, and what came of each review on it
mod events; // what happens
mod ledger; // what happens to the ledger
mod load; // callers, and the count of what came
mod memory; // an end for want of memory
mod overload; // more than there is capacity for
mod replica; // a gate as a process
mod report; // the tables
mod restore; // a ledger that is restored, a token that ends
mod soak; // hostile tenants beside an innocent one
mod stage; // all of it together
mod through; // writes through the API server
mod world; // the world of the cases, in a ledger

use std::time::Duration;

use events::What;
use load::{Running, Tally};
use stage::Stage;
use through::{Writes, Writing};

/// How much of everything.
pub struct Scale {
    /// At least so many reviews during each event.
    pub reviews: usize,
    /// Reviews a second.
    pub rate: f64,
    /// How often the law is edited, once a second.
    pub edits: usize,
    /// How often the ledger is changed, fifty times a second.
    pub changes: usize,
    /// How long the database is away.
    pub outage: Duration,
    /// How long a replica is frozen after it was taken for dead.
    pub freeze: Duration,
    /// How long too much is asked for.
    pub overload: Duration,
    /// How long hostile tenants go on.
    pub soak: Duration,
}

/// In minutes, on a machine that does other things too.
const SHORT: Scale = Scale {
    reviews: 1_000,
    rate: 250.0,
    edits: 3,
    changes: 100,
    outage: Duration::from_secs(3),
    freeze: Duration::from_secs(1),
    overload: Duration::from_secs(4),
    soak: Duration::from_secs(8),
};

const WHOLE: Scale = Scale {
    reviews: 100_000,
    rate: 4_000.0,
    edits: 25,
    changes: 1_250,
    outage: Duration::from_mins(1),
    freeze: Duration::from_secs(10),
    overload: Duration::from_secs(20),
    soak: Duration::from_mins(1),
};

impl Scale {
    /// The whole of it where the document is to be written, and whether it is.
    fn asked_for() -> (Self, Option<std::ffi::OsString>) {
        let written = std::env::var_os("PORTCULLIS_PROOF");
        (if written.is_some() { WHOLE } else { SHORT }, written)
    }
}

/// A count among figures that are none.
fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap())
}

/// One event and what came of the calls during it.
pub struct Row {
    name: &'static str,
    what: What,
    tally: Tally,
    writes: Writes,
}

impl Row {
    /// What must not be.
    fn flaws(&self) -> Vec<String> {
        let Self { name, what, tally, writes } = self;
        let mut flaws: Vec<String> = tally.wrong.iter().chain(&writes.wrong).cloned().collect();
        let elsewhere = tally.failed.iter().filter(|(replica, _)| !what.victims.contains(replica));
        flaws.extend(
            elsewhere.flat_map(|(replica, why)| why.iter().map(move |why| format!("{replica}: {why}"))),
        );
        flaws.extend((tally.shed > 0).then(|| format!("{} were shed", tally.shed)));
        if what.victims.is_empty() {
            flaws.extend(writes.unanswered.iter().cloned());
        }
        flaws.extend((writes.away > 0 && !what.away).then(|| "the API server was away".to_owned()));
        flaws.into_iter().take(20).map(|flaw| format!("{name}: {flaw}")).collect()
    }
}

/// Lets something happen while reviews and writes go on.
async fn during(
    stage: &mut Stage,
    scale: &Scale,
    name: &'static str,
    event: impl AsyncFnOnce(&mut Stage, &Running, &Scale) -> What,
) -> Row {
    let (writing, load) = (Writing::begin(&stage.plane), stage.load(scale.rate).begin());
    while load.sent() < scale.reviews / 10 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let what = event(stage, &load, scale).await;
    let tally = load.end(scale.reviews).await;
    let row = Row { name, what, tally, writes: writing.end() };
    eprint!(
        "{}",
        report::events(std::slice::from_ref(&row)).lines().last().unwrap_or_default().to_owned() + "\n"
    );
    row
}

async fn all(stage: &mut Stage, scale: &Scale) -> Vec<Row> {
    vec![
        during(stage, scale, "a rolling restart of all replicas", events::rolled).await,
        during(stage, scale, "`kill -9` of one", events::killed).await,
        during(stage, scale, "an out-of-memory kill", events::out_of_memory).await,
        during(stage, scale, "one replica frozen (SIGSTOP)", events::frozen).await,
        during(stage, scale, "a policy edited every second", events::edited).await,
        during(stage, scale, "a broken policy pushed", events::broken).await,
        during(stage, scale, "certificates rotated: leaf, then CA", events::certificates).await,
        during(stage, scale, "the snapshot changing 50 times a second", events::changing).await,
        during(stage, scale, "the database stopped", events::database).await,
        during(stage, scale, "the ledger restored from a backup", restore::restored).await,
        during(stage, scale, "the gates' token ended", restore::token_ended).await,
        during(stage, scale, "the API server restarted", events::api_server).await,
        during(stage, scale, "the snapshot cache's disk full", events::full_disk).await,
        during(stage, scale, "a hostile tenant of the API", ledger::hostile_api_tenant).await,
        during(stage, scale, "an entry that the reader refuses", ledger::unreadable_entry).await,
    ]
}

#[test]
fn no_verdict_is_wrong_and_no_request_fails() {
    let (scale, written) = Scale::asked_for();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (rows, capacity, shares) = runtime.block_on(async {
        let mut stage = Stage::set().await;
        let rows = all(&mut stage, &scale).await;
        let (capacity, shares) = overload::run(&stage, &scale).await;
        (rows, capacity, shares)
    });
    let tables = [report::events(&rows), report::overload(capacity, &shares)];
    eprintln!("{}", tables.join("\n"));
    let mut flaws: Vec<String> = rows.iter().flat_map(Row::flaws).collect();
    for share in &shares {
        flaws.extend(share.tally.wrong.iter().take(5).cloned());
        flaws.extend(share.tally.failed.values().flatten().take(5).cloned());
        flaws.extend(
            (!overload::is_fair(share, &shares)).then(|| format!("{} got less than its share", share.tenant)),
        );
    }
    assert!(flaws.is_empty(), "{} flaws:\n{}", flaws.len(), flaws.join("\n"));
    if let Some(file) = written {
        report::write(file.as_ref(), &tables);
    }
}

#[test]
fn hostile_tenants_exhaust_nothing() {
    let (scale, written) = Scale::asked_for();
    // A debug build on a machine that compiles at the same time takes twenty times as long for the same policy.
    let (flags, memory): (&[&str], _) =
        if written.is_some() { (&[], "VmRSS:") } else { (&["--policy-budget", "1s"], "RssAnon:") };
    let soak = soak::run(scale.soak, flags, memory);
    let table = report::soak(&soak);
    eprintln!("{table}");
    let flaws = soak.flaws(written.is_some());
    assert!(flaws.is_empty(), "{} flaws:\n{}", flaws.len(), flaws.join("\n"));
    if let Some(file) = written {
        report::write_soak(file.as_ref(), &table);
    }
}
