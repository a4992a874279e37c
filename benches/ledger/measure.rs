//! What is measured, on each database in turn.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::fill;
use super::http::Http;
use super::scale;
use super::stage::Stage;
use crate::Scale;
use crate::serve::load::{Connection, Template, send};
use crate::serve::made;
use crate::serve::server::Server;
use crate::serve::table::{Table, median, micros, millis, percent};

/// Turns of a round with writes.
const TURNS: usize = 8;

/// Connections that read and write at once.
const CONNECTIONS: usize = 16;

pub const TENANTS: &str = "/api/v1/clusters/eu-1/tenants";

/// Measures and adds to the table; only what is `asked` for, which are names of databases and of parts, and none is all.
pub async fn all(scale: &Scale, asked: &[&str], table: &mut Table) {
    let wanted = |names: &[&str], one: &str| {
        let chosen = || names.iter().filter(|name| asked.contains(name));
        chosen().count() == 0 || chosen().any(|name| *name == one)
    };
    let part = |one: &str| wanted(&["propagation", "cpu", "throughput", "sandboxes"], one);
    let text = made::large_world(scale.tenants);
    let world: Value = serde_json::from_str(&text).unwrap();
    for (name, make) in [("sqlite", Stage::sqlite as fn() -> Stage), ("postgres", Stage::postgres)] {
        if !wanted(&["sqlite", "postgres"], name) {
            continue;
        }
        if asked.contains(&"scale") {
            scale::measure(scale, make, table).await;
            continue;
        }
        let mut stage = make();
        fill::fill(&stage.url, &world).await;
        stage.serve().await;
        let gates = [("API", stage.by_api().await), ("database", stage.by_database().await)];
        for (way, gate) in &gates {
            eprintln!("{}: a gate by the {way} is ready after {:.0?}", stage.name, gate.ready_after);
        }
        if part("propagation") {
            propagation(scale, &stage, &gates, table).await;
        }
        if part("cpu") {
            quiet_and_busy(scale, &stage, &gates[0].1, &text, table).await;
        }
        if part("throughput") {
            throughput(scale, &stage, table).await;
        }
        if part("sandboxes") {
            sandboxes(scale, &stage, table).await;
        }
    }
}

/// From the answer of the PATCH to the first verdict by it.
async fn propagation(scale: &Scale, stage: &Stage, gates: &[(&str, Server); 2], table: &mut Table) {
    let mut http = stage.connections(1).await.remove(0);
    for (way, gate) in gates {
        let mut connection = Connection::open(gate, 0).await;
        let mut template = Template::small();
        // The last change of the lane before may still be on its way to this gate.
        decided(&mut connection, &mut template, true).await;
        let (mut open, mut took, mut changed) = (true, Vec::new(), Vec::new());
        for _ in 0..scale.changes {
            // Apart from each other, so that none rides on the one before.
            tokio::time::sleep(Duration::from_millis(20)).await;
            open = !open;
            let asked = Instant::now();
            http.ok("PATCH", &format!("{TENANTS}/acme"), Some(&allow(open))).await;
            changed.push(asked.elapsed().as_secs_f64() * 1000.0);
            took.push(decided(&mut connection, &mut template, open).await);
        }
        if !open {
            http.ok("PATCH", &format!("{TENANTS}/acme"), Some(&allow(true))).await;
        }
        took.sort_by(f64::total_cmp);
        eprintln!("{}: by the {way}, the slowest, in ms: {:.0?}", stage.name, &took[took.len() * 97 / 100..]);
        let p99 = took[(took.len() * 99).div_ceil(100) - 1];
        let name = format!("{}: a change decides at a gate, by the {way}", stage.name);
        table.hold(format!("{name}, median of {}", took.len()), median(&took), 20.0, fine);
        table.hold(format!("{name}, p99"), p99, 100.0, fine);
        table.tell(format!("{}: the change itself, median", stage.name), fine(median(&changed)));
    }
}

/// Asks until the bench's Pod is let through, or is not; milliseconds.
pub async fn decided(connection: &mut Connection, template: &mut Template, open: bool) -> f64 {
    let started = Instant::now();
    while connection.ask(template).await != open {
        assert!(started.elapsed() < Duration::from_secs(20), "the change does not come into force");
    }
    started.elapsed().as_secs_f64() * 1000.0
}

/// With or without the registry of the bench's Pod.
pub fn allow(open: bool) -> Value {
    let all = json!(["registry.example.com/tenants/acme", "docker.io/library"]);
    json!({"registries": if open { all } else { json!(["registry.example.com/elsewhere"]) }})
}

/// The gate's processor time a review, while nobody writes and while somebody does. Beside it runs a gate with the same
/// world from a file, which hears of no change: what a busy machine does to one it does to both.
async fn quiet_and_busy(scale: &Scale, stage: &Stage, gate: &Server, world: &str, table: &mut Table) {
    let deaf = Server::gate(world, &[]).await;
    let (mut hearing, mut other) = (Lane::open(gate).await, Lane::open(&deaf).await);
    hearing.round(scale.reviews / 4).await;
    other.round(scale.reviews / 4).await;
    let (mut quiet, mut busy, mut unmoved, mut written) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..scale.rounds {
        quiet.push(hearing.round(scale.reviews).await);
        let (done, count) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(0_usize)));
        let mut http = stage.connections(1).await.remove(0);
        let (over, counted) = (Rc::clone(&done), Rc::clone(&count));
        let started = Instant::now();
        let changes = async move {
            while !over.get() {
                write(&mut http, counted.get()).await;
                counted.set(counted.get() + 1);
            }
        };
        let reviews = async {
            // In turns, so that neither has the better half of whatever the machine is at.
            for _ in 0..TURNS {
                busy.push(hearing.round(scale.reviews / TURNS).await);
                unmoved.push(other.round(scale.reviews / TURNS).await);
            }
            done.set(true);
        };
        tokio::join!(changes, reviews);
        written.push(count.get() as f64 / started.elapsed().as_secs_f64());
    }
    let name = format!("{}: CPU per review", stage.name);
    table.tell(format!("{name}, the ledger quiet"), micros(median(&quiet)));
    table.tell(format!("{name}, at {:.0} changes a second", median(&written)), micros(median(&busy)));
    table.tell(format!("{name}, meanwhile, of a gate that hears of none"), micros(median(&unmoved)));
    let more: Vec<f64> =
        busy.iter().zip(&unmoved).map(|(busy, unmoved)| (busy / unmoved - 1.0) * 100.0).collect();
    table.hold(format!("{name}, more where they are heard of"), median(&more), 10.0, percent);
}

/// A gate, and connections to it.
struct Lane<'a> {
    gate: &'a Server,
    connections: Vec<Connection>,
    template: Template,
}

impl<'a> Lane<'a> {
    async fn open(gate: &'a Server) -> Self {
        let connections = vec![Connection::open(gate, 1).await, Connection::open(gate, 2).await];
        Self { gate, connections, template: Template::small() }
    }

    /// Sends so many reviews; processor time of each, in microseconds.
    async fn round(&mut self, reviews: usize) -> f64 {
        let before = self.gate.cpu();
        send(&mut self.connections, &self.template, reviews).await;
        self.gate.cpu().since(&before) / reviews as f64
    }
}

/// One change with its audit row, which every gate hears of.
async fn write(http: &mut Http, n: usize) {
    let body =
        json!({"registries": ["registry.example.com/tenants/acme", format!("registry.example.com/n{n}")]});
    http.ok("PATCH", &format!("{TENANTS}/t{:05}", n % 10), Some(&body)).await;
}

async fn throughput(scale: &Scale, stage: &Stage, table: &mut Table) {
    let read = rate(scale, stage, async |http: &mut Http, n: usize| {
        http.ok("GET", &format!("{TENANTS}/t{:05}", n % scale.tenants), None).await;
    })
    .await;
    // What is promised is promised for the database that many processes share.
    let promised = |target: f64| if stage.name == "PostgreSQL" { target } else { 0.0 };
    table.reach(format!("{}: reads of a tenant, a second", stage.name), read, promised(2000.0), whole);
    let written = rate(scale, stage, async |http: &mut Http, n: usize| {
        let body = json!({"displayName": format!("Number {n}")});
        http.ok("PATCH", &format!("{TENANTS}/t{:05}", n % scale.tenants), Some(&body)).await;
    })
    .await;
    table.reach(format!("{}: writes with audit, a second", stage.name), written, promised(300.0), whole);
}

/// How many a second over all connections.
pub async fn rate(scale: &Scale, stage: &Stage, one: impl AsyncFn(&mut Http, usize)) -> f64 {
    let mut connections = stage.connections(CONNECTIONS).await;
    let (next, started) = (Cell::new(0), Instant::now());
    let until = started + Duration::from_secs_f64(scale.seconds);
    let lanes = connections.iter_mut().map(|http| async {
        while Instant::now() < until {
            let n = next.get();
            next.set(n + 1);
            one(http, n).await;
        }
    });
    join(lanes).await;
    next.get() as f64 / started.elapsed().as_secs_f64()
}

/// All of them at once, on this thread.
async fn join<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut running: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        let mut over = true;
        for (future, done) in &mut running {
            if done.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *done = Some(value),
                    std::task::Poll::Pending => over = false,
                }
            }
        }
        if over { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    running.into_iter().map(|(_, done)| done.unwrap()).collect()
}

/// Sandboxes of one project, all at once: each must have a name of its own.
async fn sandboxes(scale: &Scale, stage: &Stage, table: &mut Table) {
    let mut connections = stage.connections(scale.sandboxes).await;
    let path = format!("{TENANTS}/t00001/projects/shop/sandboxes");
    let started = Instant::now();
    let nothing = json!({});
    let made = join(connections.iter_mut().map(|http| http.ok("POST", &path, Some(&nothing)))).await;
    let took = started.elapsed().as_secs_f64() * 1000.0;
    let names: BTreeSet<_> = made.iter().map(|sandbox| sandbox["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), scale.sandboxes, "{names:?}");
    table.tell(
        format!("{}: {} sandboxes at once, {} names", stage.name, made.len(), names.len()),
        millis(took),
    );
}

fn fine(value: f64) -> String {
    format!("{value:.1} ms")
}

fn whole(value: f64) -> String {
    format!("{value:.0}")
}
