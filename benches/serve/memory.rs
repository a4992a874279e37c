//! Memory over a long run.

use std::time::Instant;

use super::load::{Connection, Template, send};
use super::server::{Server, demo_world};
use super::table::{Table, mebibytes};
use crate::Scale;

/// How much a long run may add, in MiB: flat, but for the allocator's way of rounding.
const GROWTH: f64 = 2.0;

/// Measures and adds to the table.
pub async fn measure(scale: &Scale, table: &mut Table) {
    let server = Server::gate(&demo_world(), &["--decision-log", "{dir}/decisions.jsonl"]).await;
    let mut connections = Vec::new();
    for at in 0..8 {
        connections.push(Connection::open(&server, at).await);
    }
    let (small, large) = (Template::small(), Template::large());
    // All pools and caches are filled once before the first look.
    send(&mut connections, &small, scale.long / 20).await;
    send(&mut connections, &large, scale.long / 100).await;
    let (before, started) = (server.resident(), Instant::now());
    let mut sent = 0;
    while sent < scale.long {
        send(&mut connections, &small, scale.long / 20).await;
        sent += scale.long / 20;
        send(&mut connections, &large, scale.long / 200).await;
        sent += scale.long / 200;
        // Reviews are counted, not lines: the file would only fill the disk.
        std::fs::File::options().write(true).truncate(true).open(server.path("decisions.jsonl")).unwrap();
    }
    let after = server.resident();
    table.tell(format!("memory before {sent} reviews with a decision log"), mebibytes(before));
    table.tell(
        format!(
            "memory after them, at {:.0} reviews a second",
            sent as f64 / started.elapsed().as_secs_f64()
        ),
        mebibytes(after),
    );
    table.hold("memory, growth over the run", after - before, GROWTH, mebibytes);
}
