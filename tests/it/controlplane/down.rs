//! What stops when no gate is there, what does not, and that nobody has to do anything afterwards.

use super::rows;
use super::stage::Stage;

#[test]
fn without_a_gate_only_tenants_stop() {
    let mut stage = Stage::set();
    stage.gate.kill();
    rows::run(&stage, "down");
    stage.gate.restart();
    rows::run(&stage, "back");
}
