//! What a large ledger costs beside an empty one: start, memory, propagation, lists, creating, changing, and its snapshot.

use std::cell::Cell;
use std::time::Instant;

use serde_json::{Value, json};

use super::fill;
use super::http::Http;
use super::measure::{TENANTS, allow, decided, rate};
use super::stage::Stage;
use crate::Scale;
use crate::serve::load::{Connection, Template};
use crate::serve::made;
use crate::serve::table::{Table, mebibytes, median, micros};

/// Tenants of the ledger that is called empty.
const FEW: usize = 10;

/// What is measured of one ledger.
struct Figures {
    name: &'static str,
    tenants: usize,
    ready: f64,
    gate_ready: f64,
    memory: f64,
    memory_after: f64,
    propagation: f64,
    first_page: f64,
    last_page: f64,
    created: Work,
    patched: Work,
    snapshot: f64,
    wire: f64,
}

/// Something done as often as possible: how often a second, and microseconds of the API's processor time each.
struct Work {
    rate: f64,
    cpu: f64,
}

/// Measures a database with few tenants and with many, and adds both to the table.
pub async fn measure(scale: &Scale, make: fn() -> Stage, table: &mut Table) {
    let few = one(scale, make(), FEW).await;
    let many = one(scale, make(), scale.many).await;
    few.tell(table);
    many.tell(table);
    let name = format!("{}, {} namespaces", many.name, many.tenants * 10);
    let times = |value: f64| format!("{value:.2} ×");
    table.hold(
        format!("{name}: CPU to create a sandbox, times that in an empty ledger"),
        many.created.cpu / few.created.cpu,
        2.0,
        times,
    );
    table.hold(
        format!("{name}: CPU of a PATCH of a tenant, times that in an empty ledger"),
        many.patched.cpu / few.patched.cpu,
        2.0,
        times,
    );
    table.hold(format!("{name}: memory of the API under load"), many.memory_after, 200.0, mebibytes);
}

async fn one(scale: &Scale, mut stage: Stage, tenants: usize) -> Figures {
    let text = made::large_world(tenants);
    let world: Value = serde_json::from_str(&text).unwrap();
    drop(text);
    fill::fill(&stage.url, &world).await;
    drop(world);
    stage.serve().await;
    let (ready, memory) = {
        let api = stage.api.as_ref().unwrap();
        (api.ready_after.as_secs_f64() * 1000.0, api.resident())
    };
    let gate = stage.by_api().await;
    let gate_ready = gate.ready_after.as_secs_f64() * 1000.0;
    let mut http = stage.connections(1).await.remove(0);
    let propagation = propagate(scale, &mut http, &mut Connection::open(&gate, 0).await).await;
    let (first_page, last_page) = pages(&mut http).await;
    let created = work(scale, &stage, async |http: &mut Http, n: usize| {
        let path = format!("{TENANTS}/t{:05}/projects/shop/sandboxes", n % tenants);
        http.ok("POST", &path, Some(&json!({}))).await;
    })
    .await;
    let patched = work(scale, &stage, async |http: &mut Http, n: usize| {
        let body = json!({"registries": [format!("registry.example.com/n{n}")]});
        http.ok("PATCH", &format!("{TENANTS}/t{:05}", n % tenants), Some(&body)).await;
    })
    .await;
    let (_, whole) = http.ask("GET", "/api/v1/snapshot", None).await;
    let (_, wire) = http.ask_gzip("/api/v1/snapshot").await;
    let mebi = |bytes: usize| bytes as f64 / 1024.0 / 1024.0;
    Figures {
        name: stage.name,
        tenants,
        ready,
        gate_ready,
        memory,
        memory_after: stage.api.as_ref().unwrap().resident(),
        propagation,
        first_page,
        last_page,
        created,
        patched,
        snapshot: mebi(whole.len()),
        wire: mebi(wire.len()),
    }
}

async fn work(scale: &Scale, stage: &Stage, one: impl AsyncFn(&mut Http, usize)) -> Work {
    let api = stage.api.as_ref().unwrap();
    let (before, count) = (api.cpu(), Cell::new(0_u32));
    let rate = rate(scale, stage, async |http: &mut Http, n: usize| {
        one(http, n).await;
        count.set(count.get() + 1);
    })
    .await;
    Work { rate, cpu: api.cpu().since(&before) / f64::from(count.get()) }
}

/// From the answer of a PATCH to the first verdict by it, in the median; milliseconds.
async fn propagate(scale: &Scale, http: &mut Http, gate: &mut Connection) -> f64 {
    let mut template = Template::small();
    let mut took = Vec::new();
    for turn in 0..scale.changes {
        let open = turn % 2 == 1;
        http.ok("PATCH", &format!("{TENANTS}/acme"), Some(&allow(open))).await;
        took.push(decided(gate, &mut template, open).await);
    }
    http.ok("PATCH", &format!("{TENANTS}/acme"), Some(&allow(true))).await;
    median(&took)
}

/// The first and the last page of all tenants, 200 at a time; milliseconds.
async fn pages(http: &mut Http) -> (f64, f64) {
    let (mut took, mut cursor) = (Vec::new(), String::new());
    loop {
        let started = Instant::now();
        let page = http.ok("GET", &format!("{TENANTS}?limit=200{cursor}"), None).await;
        took.push(started.elapsed().as_secs_f64() * 1000.0);
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return (took[0], took[took.len() - 1]),
        }
    }
}

impl Figures {
    fn tell(&self, table: &mut Table) {
        let name = format!("{}, {} tenants, {} namespaces", self.name, self.tenants, self.tenants * 10);
        let ms = |value: f64| format!("{value:.1} ms");
        let mut tell = |what: &str, figure: String| table.tell(format!("{name}: {what}"), figure);
        tell("the API is ready after", ms(self.ready));
        tell("a gate is ready after", ms(self.gate_ready));
        tell("memory of the API, started", mebibytes(self.memory));
        tell("memory of the API, after all below", mebibytes(self.memory_after));
        tell("a change decides at a gate, median", ms(self.propagation));
        tell("first page of 200 tenants", ms(self.first_page));
        tell("last page", ms(self.last_page));
        tell("sandboxes created, a second", format!("{:.0}", self.created.rate));
        tell("CPU of the API for each", micros(self.created.cpu));
        tell("tenants patched, a second", format!("{:.0}", self.patched.rate));
        tell("CPU of the API for each PATCH", micros(self.patched.cpu));
        tell("snapshot", format!("{:.1} MiB", self.snapshot));
        tell("snapshot on the wire", format!("{:.2} MiB", self.wire));
    }
}
