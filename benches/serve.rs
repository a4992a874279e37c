//! `make bench`: what a review costs the gate, beside a handler that does nothing, in one run and one table.
//!
//! Servers are processes of their own: the release binary, and this one started again as [`nothing`]. Each keeps its
//! connections for the whole run, and rounds go around all of them, so that what a noisy machine does to one it does to
//! all; what counts are ratios and differences within a round, and the median over rounds. Without `--bench`, as under
//! `cargo test --benches`, everything is done a few times only, to see that it works.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    reason = "a bench that cannot go on says where, and its figures go to the terminal"
)]

mod bodies;

mod serve {
    #![expect(dead_code, reason = "shared with the bench of the ledger, which uses the rest")]
    pub mod changes;
    pub mod cpu;
    pub mod load;
    pub mod made;
    pub mod memory;
    pub mod nothing;
    pub mod server;
    pub mod start;
    pub mod table;
}

use serve::table::Table;
use serve::{changes, cpu, memory, nothing, start};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How much of everything is done.
pub struct Scale {
    /// Rounds around all servers.
    pub rounds: usize,
    /// Reviews of a server in a round, of the small body; a quarter of it of the large one.
    pub reviews: usize,
    /// Starts until ready.
    pub starts: usize,
    /// Reviews of the long run.
    pub long: usize,
    /// Changed files.
    pub changes: usize,
    /// Policies that do not match.
    pub idle_policies: usize,
    /// Tenants of the generated world; ten namespaces each.
    pub tenants: usize,
}

const REAL: Scale = Scale {
    rounds: 7,
    reviews: 10_000,
    starts: 7,
    long: 200_000,
    changes: 20,
    idle_policies: 1000,
    tenants: 1000,
};
const TINY: Scale =
    Scale { rounds: 1, reviews: 50, starts: 1, long: 200, changes: 2, idle_policies: 20, tenants: 10 };

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let asked = |flag: &str| args.iter().any(|arg| arg == flag);
    if asked("--list") {
        return;
    }
    // Load and handler share this machine with the server under test: one thread is enough to keep it busy.
    let mut builder = if asked(nothing::ARGUMENT) {
        tokio::runtime::Builder::new_multi_thread()
    } else {
        tokio::runtime::Builder::new_current_thread()
    };
    let runtime = builder.enable_all().build().unwrap();
    if asked(nothing::ARGUMENT) {
        return runtime.block_on(nothing::serve());
    }
    let mut scale = if asked("--bench") { REAL } else { TINY };
    if asked("--million") {
        scale.long = 1_000_000;
    }
    if asked("--quick") {
        scale = Scale { rounds: 3, reviews: 5_000, long: 50_000, ..scale };
    }
    let only = ["cpu", "start", "changes", "memory"].into_iter().find(|part| asked(part));
    let wanted = |part: &str| only.is_none_or(|only| only == part);
    let mut table = Table::default();
    runtime.block_on(async {
        if wanted("cpu") {
            cpu::measure(&scale, &mut table).await;
        }
        if wanted("start") {
            start::measure(&scale, &mut table).await;
        }
        if wanted("changes") {
            changes::measure(&scale, &mut table).await;
        }
        if wanted("memory") {
            memory::measure(&scale, &mut table).await;
        }
    });
    table.print();
}
