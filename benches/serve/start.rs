//! From the start of the process until it is ready, and what it then holds in memory.

use super::load::{Connection, Template, send};
use super::made;
use super::server::{Server, demo_world};
use super::table::{Table, mebibytes, median, millis};
use crate::Scale;

/// Measures and adds to the table.
pub async fn measure(scale: &Scale, table: &mut Table) {
    let large = made::large_world(scale.tenants);
    let name =
        format!("{} tenants, {} namespaces ({} KB)", scale.tenants, scale.tenants * 10, large.len() / 1000);
    for (name, world, time, memory) in
        [("the demo's world", demo_world(), 100.0, 24.0), (name.as_str(), large, 1000.0, 64.0)]
    {
        let (mut took, mut resident) = (Vec::new(), Vec::new());
        for _ in 0..scale.starts {
            let server = Server::gate(&world, &[]).await;
            took.push(server.ready_after.as_secs_f64() * 1000.0);
            let mut connections = vec![Connection::open(&server, 0).await];
            send(&mut connections, &Template::small(), 100).await;
            resident.push(server.resident());
        }
        table.hold(format!("start to ready, {name}"), median(&took), time, millis);
        table.hold(format!("memory after 100 reviews, {name}"), median(&resident), memory, mebibytes);
    }
}
