//! `make bench`, second half: what a ledger of 1,000 tenants and 10,000 namespaces costs, and how soon its changes decide.
//!
//! For each database in turn: an API, and two gates in processes of their own, one that asks the API and one that asks the
//! database. Without `--bench`, as under `cargo test --benches`, everything is done a few times only, to see that it works.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    reason = "a bench that cannot go on says where, and its figures go to the terminal"
)]

mod bodies;

#[path = "serve"]
mod serve {
    #![expect(dead_code, reason = "shared with the other bench, which uses the rest")]
    pub mod load;
    pub mod made;
    pub mod nothing;
    pub mod server;
    pub mod table;
}

mod ledger {
    pub mod fill;
    pub mod http;
    pub mod measure;
    pub mod scale;
    pub mod stage;

    pub mod scratch;
}

use ledger::measure;
use serve::nothing;
use serve::table::Table;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How much of everything is done.
pub struct Scale {
    /// Tenants of the generated world; ten namespaces each.
    pub tenants: usize,
    /// Tenants of the large ledger of `-- scale`; ten namespaces each.
    pub many: usize,
    /// Changes whose way to each gate is timed.
    pub changes: usize,
    /// Seconds of reading, and of writing.
    pub seconds: f64,
    /// Sandboxes made at once.
    pub sandboxes: usize,
    /// Reviews of a round, quiet and while the ledger is written.
    pub reviews: usize,
    /// Such rounds.
    pub rounds: usize,
}

const REAL: Scale = Scale {
    tenants: 1000,
    many: 10_000,
    changes: 200,
    seconds: 5.0,
    sandboxes: 50,
    reviews: 10_000,
    rounds: 5,
};
const TINY: Scale =
    Scale { tenants: 10, many: 20, changes: 2, seconds: 0.1, sandboxes: 5, reviews: 50, rounds: 1 };

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let asked = |flag: &str| args.iter().any(|arg| arg == flag);
    if asked("--list") {
        return;
    }
    // Load and servers share this machine: one thread is enough to keep them busy.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if asked(nothing::ARGUMENT) {
        return runtime.block_on(nothing::serve());
    }
    let scale = if asked("--bench") { REAL } else { TINY };
    let mut table = Table::default();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    runtime.block_on(measure::all(&scale, &words, &mut table));
    table.print();
}
