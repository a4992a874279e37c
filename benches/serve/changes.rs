//! From a written file to the first verdict by it, under one connection's load.

use std::path::Path;
use std::time::{Duration, Instant};

use super::load::{Connection, Template};
use super::made;
use super::server::{Server, demo_world};
use super::table::{Table, median, millis};
use crate::Scale;

/// Measures and adds to the table.
pub async fn measure(scale: &Scale, table: &mut Table) {
    let dir = made::library();
    toggle(dir.path(), true);
    let policies = dir.path().display().to_string();
    let server = Server::gate(&demo_world(), &["--policies", &policies]).await;
    let took = flips(&server, scale.changes, |open| toggle(dir.path(), open)).await;
    tell(table, "a changed policy file decides", &took);
    for (name, world) in [("the demo's", demo_world()), ("the large", made::large_world(scale.tenants))] {
        let server = Server::gate(&world, &[]).await;
        let closed = suspended(&world);
        let took = flips(&server, scale.changes, |open| {
            std::fs::write(server.path("tenancy"), if open { &world } else { &closed }).unwrap();
        })
        .await;
        tell(table, &format!("a changed snapshot file decides, {name} world"), &took);
    }
}

fn tell(table: &mut Table, what: &str, took: &[f64]) {
    table.hold(format!("{what}, median of {}", took.len()), median(took), 50.0, millis);
    table.hold(format!("{what}, worst"), took.iter().copied().fold(0.0, f64::max), 50.0, millis);
}

/// A policy that denies every Pod, or none.
fn toggle(dir: &Path, open: bool) {
    let condition = if open { "input.request.name == \"nobody\"" } else { "true" };
    made::write_policy(dir, "toggle", "pods", &format!("deny contains \"closed\" if {condition}"));
}

/// The world in which acme, whose Pod it is, is suspended.
fn suspended(world: &str) -> String {
    let mut world: serde_json::Value = serde_saphyr::from_str(world).unwrap();
    world["tenants"]["acme"]["status"] = "suspended".into();
    serde_json::to_string(&world).unwrap()
}

/// Milliseconds from before the write to the first answer that follows it.
async fn flips(server: &Server, count: usize, write: impl Fn(bool)) -> Vec<f64> {
    let mut connection = Connection::open(server, 0).await;
    let mut template = Template::small();
    assert!(connection.ask(&mut template).await);
    let (mut open, mut found) = (true, Vec::new());
    for _ in 0..count {
        // Apart from each other, so that none finds the watcher still busy with the one before.
        tokio::time::sleep(Duration::from_millis(200)).await;
        open = !open;
        let started = Instant::now();
        write(open);
        while connection.ask(&mut template).await != open {
            assert!(started.elapsed() < Duration::from_secs(20), "the change does not come into force");
        }
        found.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    found
}
