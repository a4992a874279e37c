//! Processor time of the server process per review, and latency on one connection.

use super::load::{Connection, Template, latencies, send};
use super::made;
use super::server::{Server, demo_world};
use super::table::{Table, median, micros, percent, times};
use crate::Scale;

/// Pods whose labels are new too: to the law, the Pods of a ReplicaSet are one question.
const NEW: &str = "the gate, new questions";
/// What every Pod of a tenant goes through before the validating call.
const MUTATE: &str = "/mutate, labels to add";
/// The same of the build before.
const EARLIER: &str = "before: ";
const BEFORE: [&str; 3] =
    ["before: the gate", "before: the gate, new questions", "before: /mutate, labels to add"];
const CONNECTIONS: usize = 8;
/// Small policies that match, beside the library.
const MATCHING: usize = 10;

struct Lane {
    name: &'static str,
    /// Whether each review is another question to the law, and not only another Pod.
    labelled: bool,
    /// Whether it is asked to patch.
    mutated: bool,
    server: Server,
    connections: Vec<Connection>,
    /// Microseconds of processor per review, and of the clock on one connection, a round each; small body, then large.
    cpu: [Vec<f64>; 2],
    latency: [Vec<f64>; 2],
}

impl Lane {
    async fn new(name: &'static str, server: Server) -> Self {
        let mut connections = Vec::new();
        for at in 0..CONNECTIONS {
            connections.push(Connection::open(&server, at).await);
        }
        eprintln!("{name}: ready after {:?}", server.ready_after);
        Self {
            name,
            labelled: name.contains("new questions"),
            mutated: name.contains(MUTATE),
            server,
            connections,
            cpu: Default::default(),
            latency: Default::default(),
        }
    }

    /// A small round, and a large one.
    async fn rounds(&mut self, reviews: usize) {
        for (size, template, share) in [(0, Template::small(), 1), (1, Template::large(), 4)] {
            let template = match () {
                () if self.mutated => template.unlabelled(),
                () if self.labelled => template.labelled(),
                () => template,
            };
            self.round(size, &template, reviews / share).await;
        }
    }

    async fn round(&mut self, size: usize, template: &Template, reviews: usize) {
        send(&mut self.connections, template, reviews / 10).await;
        let before = self.server.cpu();
        send(&mut self.connections, template, reviews).await;
        let sent = reviews.div_ceil(CONNECTIONS) * CONNECTIONS;
        self.cpu[size].push(self.server.cpu().since(&before) / sent as f64);
        let single = self.connections.first_mut().unwrap();
        let took: Vec<f64> = latencies(single, template, reviews / 5)
            .await
            .iter()
            .map(|took| took.as_secs_f64() * 1e6)
            .collect();
        self.latency[size].push(median(&took));
    }
}

/// Measures and adds to the table.
pub async fn measure(scale: &Scale, table: &mut Table) {
    let world = demo_world();
    let (idle, matching) = (made::library(), made::library());
    made::add_idle(idle.path(), scale.idle_policies);
    made::add_matching(matching.path(), MATCHING);
    let policies = |dir: &tempfile::TempDir| dir.path().display().to_string();
    let mut lanes = [
        Lane::new("a handler that does nothing", Server::nothing().await).await,
        Lane::new("the gate", Server::gate(&world, &[]).await).await,
        Lane::new(NEW, Server::gate(&world, &[]).await).await,
        Lane::new("with --full-input", Server::gate(&world, &["--full-input"]).await).await,
        Lane::new(
            "with policies that do not match",
            Server::gate(&world, &["--policies", &policies(&idle)]).await,
        )
        .await,
        Lane::new(
            "new questions, with policies that match",
            Server::gate(&world, &["--policies", &policies(&matching)]).await,
        )
        .await,
        Lane::new(
            "with a decision log in a file",
            Server::gate(&world, &["--decision-log", "{dir}/decisions.jsonl"]).await,
        )
        .await,
        Lane::new(MUTATE, Server::gate(&world, &[]).await).await,
    ];
    let mut before = before(&world).await;
    for round in 0..scale.rounds {
        for lane in lanes.iter_mut().chain(&mut before) {
            lane.rounds(scale.reviews).await;
        }
        let figures: Vec<String> =
            lanes.iter().map(|lane| format!("{:.1}/{:.1}", lane.cpu[0][round], lane.cpu[1][round])).collect();
        eprintln!("round {}: {}", round + 1, figures.join(" "));
    }
    for (size, body) in ["6 KB", "40 KB"].into_iter().enumerate() {
        report(&lanes, size, body, scale, table);
        report_before(&before, &lanes, size, body, table);
    }
}

/// The build that `PORTCULLIS_BENCH_BEFORE` names, if any, in the lanes whose cost a change of ours can move.
async fn before(world: &str) -> Vec<Lane> {
    let Some(binary) = std::env::var_os("PORTCULLIS_BENCH_BEFORE") else { return Vec::new() };
    let mut lanes = Vec::new();
    for name in BEFORE {
        lanes.push(Lane::new(name, Server::gate_of(binary.as_ref(), world, &[]).await).await);
    }
    lanes
}

/// How much of the earlier build's processor time and latency each lane takes now.
fn report_before(before: &[Lane], lanes: &[Lane], size: usize, body: &str, table: &mut Table) {
    let ratio = |now: &[f64], then: &[f64]| {
        median(&now.iter().zip(then).map(|(now, then)| now / then).collect::<Vec<_>>())
    };
    for then in before {
        let name = then.name.strip_prefix(EARLIER).unwrap_or(then.name);
        let Some(now) = lanes.iter().find(|lane| lane.name == name) else { continue };
        table.tell(format!("{body}: {name}, times before"), times(ratio(&now.cpu[size], &then.cpu[size])));
        let latency = ratio(&now.latency[size], &then.latency[size]);
        table.tell(format!("{body}: median on one connection, {name}, times before"), times(latency));
    }
}

fn report(lanes: &[Lane; 8], size: usize, body: &str, scale: &Scale, table: &mut Table) {
    let [nothing, gate, new, full, idle, matching, log, mutate] = lanes;
    let cpu = |lane: &Lane| median(&lane.cpu[size]);
    let pairs = |a: &[f64], b: &[f64], f: fn(f64, f64) -> f64| {
        median(&a.iter().zip(b).map(|(a, b)| f(*a, *b)).collect::<Vec<_>>())
    };
    let ratio = |a: &Lane, b: &Lane| pairs(&a.cpu[size], &b.cpu[size], |a, b| a / b);
    let more = |a: &Lane, b: &Lane| pairs(&a.cpu[size], &b.cpu[size], |a, b| a - b);
    let ms = |lane: &Lane| median(&lane.latency[size]);
    let delay = |a: &Lane, b: &Lane| pairs(&a.latency[size], &b.latency[size], |a, b| a / b);
    for lane in lanes {
        table.tell(format!("{body}: CPU per review, {}", lane.name), micros(cpu(lane)));
    }
    table.hold(format!("{body}: the gate, times nothing"), ratio(gate, nothing), 2.0, times);
    table.hold(format!("{body}: the gate, new questions, times nothing"), ratio(new, nothing), 2.0, times);
    table.tell(format!("{body}: {MUTATE}, times nothing"), times(ratio(mutate, nothing)));
    table.hold(format!("{body}: with --full-input, times nothing"), ratio(full, nothing), 2.5, times);
    let n = scale.idle_policies;
    table.hold(
        format!("{body}: {n} policies that do not match, more CPU"),
        (ratio(idle, gate) - 1.0) * 100.0,
        5.0,
        percent,
    );
    table.hold(
        format!("{body}: each policy that matches"),
        more(matching, new) / MATCHING as f64,
        5.0,
        micros,
    );
    table.hold(format!("{body}: a line of the decision log"), more(log, gate), 10.0, micros);
    table.tell(format!("{body}: median on one connection, nothing"), micros(ms(nothing)));
    table.tell(format!("{body}: median on one connection, the gate"), micros(ms(gate)));
    table.hold(format!("{body}: median on one connection, times nothing"), delay(gate, nothing), 1.5, times);
    table.hold(
        format!("{body}: {n} policies that do not match, more latency"),
        (delay(idle, gate) - 1.0) * 100.0,
        5.0,
        percent,
    );
}
