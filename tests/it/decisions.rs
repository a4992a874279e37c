//! What is told of decisions: the log, the metrics, and the end of the process.

mod counted; // metrics
mod ended; // signals, and what is left behind
mod logged; // the decision log

use serde_json::Value as Json;

use crate::support::{Gate, wait};

/// Waits until the log has this many lines, and reads them; the writer is a thread of its own.
fn lines(gate: &Gate, count: usize) -> Vec<Json> {
    let file = gate.path("decisions.jsonl");
    let read = || std::fs::read_to_string(&file).unwrap_or_default();
    wait(std::time::Duration::from_secs(10), || (read().matches('\n').count() >= count).then_some(()));
    let lines: Vec<Json> = read()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    assert_eq!(lines.len(), count, "one line a decision");
    lines
}
