//! What happens to the ledger, while gates decide by it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Scale;
use super::events::{MOMENTS, What, change, followed, seen};
use super::load::Running;
use super::stage::Stage;
use super::world::{BYSTANDER, TENANTS};
use crate::feed::stage::call;
use crate::support::{portcullis, wait};

/// Owners of one tenant at once, each with a rate limit of its own.
const OWNERS: usize = 4;

/// Rules that an attached policy set may have, nearly.
const RULES: usize = 200_000;

/// A tenant's owners write the largest policy set that is taken as fast as they can, ask for pages that are long and for
/// tokens that are not there. Meanwhile another tenant is changed, which every gate must follow.
pub async fn hostile_api_tenant(stage: &mut Stage, _: &Running, scale: &Scale) -> What {
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let owners: Vec<JoinHandle<()>> = (0..OWNERS)
        .map(|n| {
            let (token, address) = (owner(stage, n), stage.api.api.clone());
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            std::thread::spawn(move || attack(&address, &token, &stop, &answered))
        })
        .collect();
    let (until, mut slowest, mut n) = (Instant::now() + scale.overload, Duration::ZERO, 0);
    while Instant::now() < until {
        let started = Instant::now();
        change(stage, n);
        followed(stage);
        slowest = slowest.max(started.elapsed());
        n += 1;
    }
    stop.store(true, Ordering::Relaxed);
    owners.into_iter().for_each(|owner| owner.join().unwrap());
    let answered = answered.load(Ordering::Relaxed);
    assert!(answered > OWNERS, "{answered} requests of the hostile owners were answered");
    let memory = resident(&stage.api);
    seen(format!(
        "{answered} hostile requests; {n} changes followed, the slowest after {:.1} s; the API has {memory} MiB",
        slowest.as_secs_f64()
    ))
}

/// A row that no reader takes stands in the database. Its tenant stays as it was, and changes of others come through.
pub async fn unreadable_entry(stage: &mut Stage, _: &Running, _: &Scale) -> What {
    let sets = format!("{TENANTS}/{BYSTANDER}/policysets");
    stage.ledger.ok(&stage.api, "POST", &sets, json!({ "name": "spoiled", "rules": [], "attachedTo": [{}] }));
    // Odd and even have other registries: what is changed next is a change of the snapshot, whatever was changed last.
    change(stage, 1);
    followed(stage);
    let own = stage.ledger.own.as_ref().unwrap();
    own.sql("UPDATE policysets SET name = 'No Label' WHERE name = 'spoiled'");
    change(stage, 0);
    let held = |stage: &Stage| -> f64 {
        let each = stage.replicas.iter();
        each.map(|replica| replica.metric("portcullis_snapshot_held", &["kind=\"tenant\""])).sum()
    };
    let all = stage.replicas.len();
    wait(MOMENTS, || (held(stage) >= super::number(all)).then_some(()));
    // Of another tenant, while the entry is held.
    let other = format!("{TENANTS}/globex");
    stage.ledger.ok(&stage.api, "PATCH", &other, json!({ "displayName": "while an entry does not read" }));
    followed(stage);
    let own = stage.ledger.own.as_ref().unwrap();
    own.sql("DELETE FROM policysets WHERE name = 'No Label'");
    change(stage, 1);
    wait(MOMENTS, || (held(stage) == 0.0).then_some(()));
    seen(format!(
        "one tenant held at its last good state by {all} replicas, and let go; another tenant's change came through"
    ))
}

/// A token of an owner of the bystander.
fn owner(stage: &Stage, n: usize) -> String {
    let tenant = stage.ledger.ok(&stage.api, "GET", &format!("{TENANTS}/{BYSTANDER}"), Value::Null);
    let mut command = portcullis();
    let subject = format!("hostile-{n}");
    command.args(["token", "new", "--subject", &subject, "--role", "tenantOwner", "--tenant", BYSTANDER]);
    command.args(["--tenant-id", tenant["id"].as_str().unwrap(), "--keys", &stage.ledger.text("keys")]);
    let printed = command.output().unwrap();
    assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
    String::from_utf8(printed.stdout).unwrap().trim().to_owned()
}

fn attack(address: &str, token: &str, stop: &AtomicBool, answered: &AtomicUsize) {
    let sets = format!("{TENANTS}/{BYSTANDER}/policysets");
    let rule = json!({ "policy": "vela-workflow-steps", "params": { "allowed": ["x".repeat(RULES)] } });
    let set = json!({ "name": "large", "rules": [rule], "attachedTo": [{}] });
    let two_places = json!({ "name": "twice", "rules": [], "attachedTo": [{}, {}] });
    let mut n = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        n += 1;
        let random = format!("/api/v1/tokens/018f2b7c-0000-7000-8000-{n:012}");
        for (method, path, body) in [
            ("POST", sets.clone(), Some(&set)),
            ("PUT", format!("{sets}/large"), Some(&set)),
            ("POST", sets.clone(), Some(&two_places)),
            ("GET", "/api/v1/audit?limit=200&view=full".to_owned(), None),
            ("GET", format!("{sets}?limit=200"), None),
            ("DELETE", random, None),
        ] {
            let (status, answer) = call(address, token, method, &path, body);
            assert_ne!(status, 500, "{method} {path}: {answer}");
            answered.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Resident memory of a process, in MiB.
fn resident(server: &crate::support::Gate) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}
