//! Rego on the engine `regorus`: analyses modules, compiles policies, evaluates rules.
//!
//! A module is rewritten to OPA's normal form first. A policy compiles to a program of the register machine; what that
//! compiler refuses runs on the interpreter. Both give OPA's verdicts, which the tests compare.

pub mod analysis;
mod bounds;
mod budget;
pub mod builtins;
mod compiled;
pub mod did_you_mean;
mod interpreter;
mod lints;
mod normal;
mod parse;
pub mod reads;
pub mod rule_evaluator;
mod rvm;
mod source;
mod strict_builtins;
mod syntax;
mod unbound_variables;

pub use regorus::Value;
pub use regorus::value::Object;

pub use budget::{Budget, EvalError, Meter};
pub use compiled::{Compiled, EngineChoice};
pub use lints::FINDING_KEYS;
pub use source::{Module, Problem, Problems};
