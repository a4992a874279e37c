//! `make bench-apiserver`: what the gate costs a real kube-apiserver, beside no webhook, a webhook that does nothing, and
//! the same rules as CEL inside it.
//!
//! One control plane, and rounds around all of them: what is registered is taken away again, and nothing is measured before
//! a Pod has been seen to meet what is registered and nothing else. Without `--bench`, as under `cargo test --benches`,
//! everything is done a few times only, to see that it works.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    reason = "a bench that cannot go on says where, and its figures go to the terminal"
)]

mod apiserver {
    pub mod lane;
    pub mod pods;
}

#[path = "serve"]
mod serve {
    #![expect(dead_code, reason = "shared with the other benches, which use the rest")]
    pub mod nothing;
    pub mod server;
    pub mod table;
}

#[path = "../tests/it/support/ended.rs"]
mod ended;
#[expect(dead_code, reason = "shared with the tests, which use the rest")]
#[path = "../tests/it/controlplane/plane.rs"]
mod plane;
mod stage {
    /// What the shell of the control plane calls namespaces; here they have their own names.
    pub const SHORT: &[(&str, &str)] = &[];
}
mod support {
    pub(crate) use crate::ended;
    pub use crate::serve::server::root;
    use std::time::{Duration, Instant};

    pub fn wait<T>(patience: Duration, mut what: impl FnMut() -> Option<T>) -> T {
        let (started, (_sender, never)) = (Instant::now(), std::sync::mpsc::channel::<()>());
        loop {
            if let Some(found) = what() {
                return found;
            }
            assert!(started.elapsed() < patience, "did not come within {patience:?}");
            let _ = never.recv_timeout(Duration::from_millis(20));
        }
    }

    pub fn people() -> portcullis_admission::cases::TestUsers {
        let text = std::fs::read_to_string(root().join("tests/cases/test-users.yaml")).unwrap();
        serde_saphyr::from_str(&text).unwrap()
    }
}

use std::collections::BTreeMap;

use apiserver::lane::{Lane, Stand};
use apiserver::pods::Clients;
use serve::table::{Table, median, times};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How much of everything is done.
struct Scale {
    /// Rounds around all lanes.
    rounds: usize,
    /// Pods over sixteen connections, of a lane in a round.
    pods: usize,
    /// Pods over one connection, for the duration that the API server measures.
    alone: usize,
}

const REAL: Scale = Scale { rounds: 5, pods: 3000, alone: 1000 };
const TINY: Scale = Scale { rounds: 1, pods: 32, alone: 8 };

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let asked = |flag: &str| args.iter().any(|arg| arg == flag);
    if asked("--list") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    if asked(serve::nothing::ARGUMENT) {
        return runtime.block_on(serve::nothing::serve());
    }
    let scale = if asked("--bench") { REAL } else { TINY };
    let stand = runtime.block_on(Stand::up());
    let mut clients = Clients::new(&stand.plane);
    let mut rates: BTreeMap<Lane, Vec<f64>> = BTreeMap::new();
    let mut durations: BTreeMap<(&str, &str), Vec<f64>> = BTreeMap::new();
    for round in 0..scale.rounds {
        for lane in Lane::ALL {
            stand.with(lane, &mut clients, |clients| {
                let before = stand.spent();
                let rate = clients.create(16, scale.pods);
                let between = stand.spent();
                rates.entry(lane).or_default().push(rate);
                eprintln!("round {round}: {lane:?}: {rate:.0} Pods/s");
                if lane == Lane::Both {
                    clients.create(1, scale.alone);
                    let after = stand.spent();
                    for who in ["ours", "nothing"] {
                        let mean =
                            |load, later: &apiserver::lane::Spent, earlier| (load, later.mean(who, earlier));
                        for (load, mean) in [mean("16", &between, &before), mean("1", &after, &between)] {
                            durations.entry((load, who)).or_default().push(mean);
                        }
                    }
                }
            });
        }
    }
    tell(&rates, &durations);
}

fn tell(rates: &BTreeMap<Lane, Vec<f64>>, durations: &BTreeMap<(&str, &str), Vec<f64>>) {
    let mut table = Table::default();
    let rate = |lane: Lane| rates.get(&lane).map_or(f64::NAN, |found| median(found));
    for lane in Lane::ALL {
        table.tell(format!("Pods a second, {}", lane.called()), format!("{:.0}", rate(lane)));
    }
    let between = f64::midpoint(rate(Lane::Nothing), rate(Lane::Cel));
    table.reach(
        "ours, nearer the webhook that does nothing than CEL is",
        rate(Lane::Ours),
        between,
        |value| format!("{value:.0}"),
    );
    for load in ["1", "16"] {
        let of = |who| durations.get(&(load, who)).cloned().unwrap_or_default();
        let (ours, nothing) = (of("ours"), of("nothing"));
        let milliseconds = |found: &[f64]| format!("{:.2} ms", median(found) * 1000.0);
        let named = |what: &str| format!("webhook, as the API server measures it, {load} at once: {what}");
        table.tell(named("ours"), milliseconds(&ours));
        table.tell(named("one that does nothing"), milliseconds(&nothing));
        let ratios: Vec<f64> = ours.iter().zip(&nothing).map(|(ours, nothing)| ours / nothing).collect();
        table.hold(named("times nothing"), median(&ratios), 1.5, times);
    }
    table.print();
}
