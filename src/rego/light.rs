//! Takes out of a program what is there for debuggers and listings, and is paid for all the same.
//!
//! The machine clones the description of a rule each time the rule is called: its name, the names of its parameters and
//! two tables that are nearly always blank, some ten allocations a call (regorus 0.14.1, `rvm/vm/rules.rs`). It reads of
//! them only what is left here, and what is absent as what is blank. Sources, and the place of each instruction, serve
//! listings alone, and were two thirds of a program's memory.

use regorus::Value;
use regorus::rvm::program::Program;

/// Makes a program light. What it answers stays the same.
pub fn lighten(program: &mut Program) {
    program.sources = Vec::new();
    program.instruction_spans = Vec::new();
    for rule in &mut program.rule_infos {
        rule.name = String::new();
        if let Some(function) = &mut rule.function_info {
            function.param_names = Vec::new();
        }
        if rule.destructuring_blocks.iter().all(Option::is_none) {
            rule.destructuring_blocks = Vec::new();
        }
        if rule.else_bodies.iter().flatten().all(|introduced_by_else| !introduced_by_else) {
            rule.else_bodies = Vec::new();
        }
    }
    // Asked by look-ups that go over rules and data alike. Without one it is only walked for names that the gate's data
    // could take from a package, which no package may have (`set/lint.rs`).
    if program.instruction_data.virtual_data_document_lookup_params.is_empty() {
        program.rule_tree = Value::new_object();
    }
    program.instructions.shrink_to_fit();
    program.literals.shrink_to_fit();
}
