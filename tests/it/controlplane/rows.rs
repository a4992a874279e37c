//! Rows: who types what, and what must come of it.
//!
//! ```yaml
//! - id: RO-03                     # of the scenario, where it is one
//!   why: a patch is a write
//!   as: acme-dev                  # one of tests/cases/test-users.yaml, or several
//!   run: kubectl -n $A rollout restart deployment/frontend
//!   input: {apiVersion: v1, …}    # what `-f -` reads: an object, or text
//!   rejects: app-namespace-read-only
//! ```
//!
//! The last line is one of four: `accepts`, `rejects` by the gate, `reaches` what comes after the gate and fails there
//! (there is no kubelet), `comes`, which is accepted in the end, within three minutes. Its texts must be in what is answered.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::plane::Done;
use super::stage::Stage;
use crate::support::root;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    rows: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    id: String,
    why: String,
    #[serde(rename = "as")]
    who: Many,
    run: String,
    input: Option<serde_json::Value>,
    accepts: Option<Many>,
    rejects: Option<Many>,
    reaches: Option<Many>,
    comes: Option<Many>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Many {
    One(String),
    Several(Vec<String>),
}

impl Many {
    fn as_slice(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Several(several) => several,
        }
    }
}

/// How the gate's refusal begins, in the API server's words.
const REFUSED: &str = ".portcullis.kubenova.io\" denied the request: ";

/// Long enough for a loaded machine; only what never comes takes it.
const PATIENCE: Duration = Duration::from_mins(3);

/// Runs every row of a file in its order, and tells all that failed.
pub fn run(stage: &Stage, name: &str) {
    let path = root().join(format!("tests/it/controlplane/rows/{name}.yaml"));
    let file: File = serde_saphyr::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let mut failures = Vec::new();
    for row in &file.rows {
        for who in row.who.as_slice() {
            if let Err(what) = row.holds(stage, who) {
                failures.push(format!("{} as {who}: {}\n  {}\n  {what}", row.id, row.why, row.run));
            }
        }
    }
    assert!(failures.is_empty(), "{name}: {} failed\n{}", failures.len(), failures.join("\n"));
}

impl Row {
    fn holds(&self, stage: &Stage, who: &str) -> Result<(), String> {
        let input = self.input.as_ref().map(|input| input.as_str().map_or(input.to_string(), str::to_owned));
        let done = || stage.plane.shell(who, &self.run, input.as_deref());
        match (&self.accepts, &self.rejects, &self.reaches, &self.comes) {
            (Some(parts), None, None, None) => accepted(&done(), parts),
            (None, Some(parts), None, None) => rejected(&done(), parts),
            (None, None, Some(parts), None) => reached(&done(), parts),
            (None, None, None, Some(parts)) => {
                let (deadline, (_sender, never)) = (Instant::now() + PATIENCE, mpsc::channel::<()>());
                loop {
                    let last = accepted(&done(), parts);
                    if last.is_ok() || Instant::now() > deadline {
                        return last;
                    }
                    let _ = never.recv_timeout(Duration::from_millis(200));
                }
            }
            _ => Err("one of accepts, rejects, reaches and comes".to_owned()),
        }
    }
}

fn accepted(done: &Done, parts: &Many) -> Result<(), String> {
    if done.ok { says(done, parts) } else { Err(format!("refused: {}", done.err)) }
}

fn rejected(done: &Done, parts: &Many) -> Result<(), String> {
    if !done.ok && done.err.contains(REFUSED) {
        says(done, parts)
    } else {
        Err(format!("not refused by the gate: {}{}", done.out, done.err))
    }
}

fn reached(done: &Done, parts: &Many) -> Result<(), String> {
    if !done.ok && !done.err.contains(REFUSED) {
        says(done, parts)
    } else {
        Err(format!("did not fail behind the gate: {}{}", done.out, done.err))
    }
}

fn says(done: &Done, parts: &Many) -> Result<(), String> {
    let said = format!("{}{}", done.out, done.err);
    let missing: Vec<&String> = parts.as_slice().iter().filter(|part| !said.contains(*part)).collect();
    if missing.is_empty() { Ok(()) } else { Err(format!("{missing:?} is not in: {said}")) }
}
