//! Random policies on random objects: OPA, the register machine and the interpreter say the same.
//!
//! `PORTCULLIS_REGO_SEED` repeats a run. `PORTCULLIS_REGO_PAIRS` says how many pairs it compares,
//! `PORTCULLIS_REGO_SHRUNK` how many differences are made small, and `PORTCULLIS_REGO_WITHOUT` which texts (`not ,walk(`)
//! leave a policy out.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::differential::opa::Told;
use super::differential::tally::{Run, percent};
use super::differential::value::{Decimal, Plain};
use super::differential::{Answer, Relation, relation};
use super::tool;

/// Pairs of a policy and an object.
const PAIRS: usize = 20_000;

/// Policies of a hundred that OPA may refuse to compile, mostly by its types.
const UNCOMPILED_MAX: usize = 25;

/// Policies of a hundred that OPA compiles and that need not load.
const REFUSED_MAX: usize = 25;

/// Policies of a hundred that need not run on the register machine.
const INTERPRETED_MAX: usize = 10;

/// Differences that are made small.
const SHRUNK: usize = 20;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}=`{text}` is no number")))
}

#[test]
fn random_policies_have_the_verdict_of_opa_on_both_engines() {
    let Some(tool) = tool() else { return };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let seed = number("PORTCULLIS_REGO_SEED").unwrap_or(now);
    let count =
        |name: &str, usual: usize| number(name).map_or(usual, |given| usize::try_from(given).unwrap());
    let without = std::env::var("PORTCULLIS_REGO_WITHOUT").unwrap_or_default();
    let run = Run {
        tool: &tool,
        seed,
        pairs: count("PORTCULLIS_REGO_PAIRS", PAIRS),
        shrunk: count("PORTCULLIS_REGO_SHRUNK", SHRUNK),
        without: without.split(',').filter(|text| !text.is_empty()).map(str::to_owned).collect(),
    };
    let started = Instant::now();
    let tally = run.tally(|| true);
    eprintln!("seed {seed}, {:.1?}: {tally}", started.elapsed());
    if !run.without.is_empty() {
        return;
    }
    for (what, part, whole, most) in [
        ("OPA does not compile", tally.policies - tally.compiled(), tally.policies, UNCOMPILED_MAX),
        ("do not load", tally.compiled() - tally.loaded(), tally.compiled(), REFUSED_MAX),
        ("run on the interpreter", tally.loaded() - tally.on_the_machine(), tally.loaded(), INTERPRETED_MAX),
    ] {
        let share = percent(part, whole);
        assert!(share <= most, "{share} % of the policies {what}, and at most {most} % may; seed {seed}");
    }
    let wrong = tally.wrong();
    assert!(wrong == 0, "{wrong} answers are not those of OPA; PORTCULLIS_REGO_SEED={seed} repeats it");
}

#[test]
fn an_answer_that_is_not_that_of_opa_is_a_difference() {
    let value = |number: &str| Answer::Value(Plain::Number(Decimal::read(number)));
    let set = |numbers: &[&str]| {
        Answer::Value(Plain::Set(numbers.iter().map(|number| Plain::Number(Decimal::read(number))).collect()))
    };
    let error = |text: &str| Answer::Error(text.to_owned());
    let failed = "p.rego:3: eval_type_error: lower: operand 1 must be string but got number";
    #[rustfmt::skip]
    let rows = [
        (value("1"), "", value("1.0"), Relation::Same),
        (value("1"), "", value("2"), Relation::Differs),
        (value("1"), "", Answer::Undefined, Relation::Differs),
        (value("0.33333333333333333334"), "", value("0.3333333333333333"), Relation::Same),
        (set(&["1", "0.0010000000000000000001"]), "", set(&["0.001", "1"]), Relation::Same),
        (set(&["1", "0.001"]), "", set(&["0.002", "1"]), Relation::Differs),
        (set(&["1", "0.001"]), "", set(&["1"]), Relation::Differs),
        (value("1"), "", error("item cannot be indexed"), Relation::Differs),
        (Answer::Undefined, "", value("1"), Relation::Differs),
        (Answer::Undefined, "", error("builtin `lower` failed: x"), Relation::Unreached),
        (Answer::Undefined, failed, error("builtin `lower` failed: x"), Relation::Builtin),
        (Answer::Undefined, failed, error("builtin `upper` failed: x"), Relation::Unreached),
        (Answer::Undefined, failed, error("invalid version"), Relation::Unnamed),
        (Answer::Undefined, failed, error("item cannot be indexed"), Relation::Differs),
        (Answer::Undefined, failed, Answer::Undefined, Relation::Unnoticed),
        (Answer::Undefined, failed, value("1"), Relation::Differs),
        (error("conflict"), "", error("multiple outputs"), Relation::BothFail),
        (error("conflict"), "", value("1"), Relation::Differs),
        (error("conflict"), "", Answer::Undefined, Relation::Differs),
    ];
    for (answer, failed, ours, expected) in rows {
        let failed = [failed].into_iter().filter(|text| !text.is_empty()).map(str::to_owned).collect();
        let told = Told { answer, failed, passed: Vec::new() };
        assert_eq!(relation(&told, &ours), expected, "{} beside {ours}", told.answer);
    }
}

#[test]
fn numbers_are_the_same_however_they_are_written() {
    for (one, other) in
        [("1", "1.0"), ("100", "1e2"), ("-0.5", "-5e-1"), ("0", "-0.00"), ("1200.50", "1.2005e3")]
    {
        assert_eq!(Decimal::read(one), Decimal::read(other));
    }
    for (one, other) in [("0.3", "0.30000000000000004"), ("1", "-1"), ("10", "1"), ("0.1", "0.01")] {
        assert_ne!(Decimal::read(one), Decimal::read(other));
    }
    for text in ["0", "1", "-12.5", "100", "0.001", "0.30000000000000004"] {
        assert_eq!(Decimal::read(text).to_string(), text);
    }
}
