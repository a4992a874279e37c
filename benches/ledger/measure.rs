//! What is measured, on each database in turn.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::fill;
use super::http::Http;
use super::stage::Stage;
use crate::Scale;
use crate::serve::load::{Connection, Template, send};
use crate::serve::made;
use crate::serve::server::Server;
use crate::serve::table::{Table, median, micros, millis, percent};

/// Connections that read and write at once.
const CONNECTIONS: usize = 16;

const TENANTS: &str = "/api/v1/clusters/eu-1/tenants";

/// Measures and adds to the table.
pub async fn all(scale: &Scale, table: &mut Table) {
    let world: Value = serde_json::from_str(&made::large_world(scale.tenants)).unwrap();
    for make in [Stage::sqlite, Stage::postgres] {
        let mut stage = make();
        fill::fill(&stage.url, &world).await;
        stage.serve().await;
        let gates = [("API", stage.by_api().await), ("database", stage.by_database().await)];
        for (way, gate) in &gates {
            eprintln!("{}: a gate by the {way} is ready after {:?}", stage.name, gate.ready_after);
        }
        propagation(scale, &stage, &gates, table).await;
        quiet_and_busy(scale, &stage, &gates[0].1, table).await;
        throughput(scale, &stage, table).await;
        sandboxes(scale, &stage, table).await;
    }
}

/// From the answer of the PATCH to the first verdict by it.
async fn propagation(scale: &Scale, stage: &Stage, gates: &[(&str, Server); 2], table: &mut Table) {
    let mut http = stage.connections(1).await.remove(0);
    for (way, gate) in gates {
        let mut connection = Connection::open(gate, 0).await;
        let mut template = Template::small();
        assert!(connection.ask(&mut template).await, "the bench's Pod is denied");
        let (mut open, mut took) = (true, Vec::new());
        for _ in 0..scale.changes {
            // Apart from each other, so that none rides on the one before.
            tokio::time::sleep(Duration::from_millis(20)).await;
            open = !open;
            http.ok("PATCH", &format!("{TENANTS}/acme"), Some(&allow(open))).await;
            let answered = Instant::now();
            while connection.ask(&mut template).await != open {
                assert!(answered.elapsed() < Duration::from_secs(20), "the change does not come into force");
            }
            took.push(answered.elapsed().as_secs_f64() * 1000.0);
        }
        if !open {
            http.ok("PATCH", &format!("{TENANTS}/acme"), Some(&allow(true))).await;
        }
        took.sort_by(f64::total_cmp);
        let p99 = took[(took.len() * 99).div_ceil(100) - 1];
        let name = format!("{}: a change decides at a gate, by the {way}", stage.name);
        table.hold(format!("{name}, median of {}", took.len()), median(&took), 20.0, fine);
        table.hold(format!("{name}, p99"), p99, 100.0, fine);
    }
}

/// With or without the registry of the bench's Pod.
fn allow(open: bool) -> Value {
    let all = json!(["registry.example.com/tenants/acme", "docker.io/library"]);
    json!({"registries": if open { all } else { json!(["registry.example.com/elsewhere"]) }})
}

/// The gate's processor time a review, while nobody writes and while somebody does.
async fn quiet_and_busy(scale: &Scale, stage: &Stage, gate: &Server, table: &mut Table) {
    let mut connections = vec![Connection::open(gate, 1).await, Connection::open(gate, 2).await];
    let template = Template::small();
    send(&mut connections, &template, scale.reviews / 4).await;
    let (mut quiet, mut busy, mut written) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..scale.rounds {
        quiet.push(round(scale, gate, &mut connections, &template).await);
        let (done, count) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(0_usize)));
        let local = tokio::task::LocalSet::new();
        let mut http = stage.connections(1).await.remove(0);
        let (over, counted) = (Rc::clone(&done), Rc::clone(&count));
        let started = Instant::now();
        let cost = local
            .run_until(async {
                let writer = tokio::task::spawn_local(async move {
                    while !over.get() {
                        write(&mut http, counted.get()).await;
                        counted.set(counted.get() + 1);
                    }
                });
                let cost = round(scale, gate, &mut connections, &template).await;
                done.set(true);
                writer.await.unwrap();
                cost
            })
            .await;
        busy.push(cost);
        written.push(count.get() as f64 / started.elapsed().as_secs_f64());
    }
    let name = format!("{}: CPU per review", stage.name);
    table.tell(format!("{name}, the ledger quiet"), micros(median(&quiet)));
    table.tell(format!("{name}, at {:.0} changes a second", median(&written)), micros(median(&busy)));
    let more: Vec<f64> = quiet.iter().zip(&busy).map(|(quiet, busy)| (busy / quiet - 1.0) * 100.0).collect();
    table.hold(format!("{name}, more while it is written"), median(&more), 10.0, percent);
}

async fn round(scale: &Scale, gate: &Server, connections: &mut Vec<Connection>, template: &Template) -> f64 {
    let before = gate.cpu();
    send(connections, template, scale.reviews).await;
    gate.cpu().since(&before) / scale.reviews as f64
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
async fn rate(scale: &Scale, stage: &Stage, one: impl AsyncFn(&mut Http, usize)) -> f64 {
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
