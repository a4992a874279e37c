//! What happens to a running gate, each while reviews go on and under the promise of what may fail.

use std::time::Duration;

use portcullis_certs::develop::CertificateAuthority;
use serde_json::{Value, json};

use super::caller;
use super::load::Running;
use super::memory;
use super::stage::Stage;
use super::world::{BYSTANDER, TENANTS};
use super::{Scale, caller::Caller, number};
use crate::support::wait;

/// How long anything may take to be noticed on a loaded machine; nothing is measured by it.
pub const MOMENTS: Duration = Duration::from_mins(1);

/// What an event was like.
#[derive(Debug, Default)]
pub struct What {
    /// Only calls on connections of these replicas may have failed.
    pub victims: Vec<String>,
    /// Whether the API server itself was away.
    pub away: bool,
    /// What was seen of it, so that nobody takes an event that did not happen for one that did no harm.
    pub seen: String,
}

pub fn seen(seen: impl Into<String>) -> What {
    What { seen: seen.into(), ..What::default() }
}

/// Each replica in turn: a new one is ready before an old one is told to go.
pub async fn rolled(stage: &mut Stage, _: &Running, _: &Scale) -> What {
    for _ in 0..3 {
        let new = stage.another(&[]);
        new.enter(&stage.balancer);
        stage.replicas.push(new);
        let mut old = stage.replicas.remove(0);
        old.signal("TERM");
        let status = wait(MOMENTS, || old.ended());
        assert!(status.success(), "{status}");
        stage.balancer.remove(&old.name);
    }
    seen("three replicas ended with exit code 0")
}

/// One is gone without a word, and replaced.
pub async fn killed(stage: &mut Stage, _: &Running, _: &Scale) -> What {
    let mut victim = stage.replicas.remove(0);
    victim.signal("KILL");
    let status = wait(MOMENTS, || victim.ended());
    replaced(stage, &victim.name);
    What { victims: vec![victim.name.clone()], seen: format!("{status}"), ..What::default() }
}

/// The kernel takes one because it wants too much memory.
pub async fn out_of_memory(stage: &mut Stage, _: &Running, _: &Scale) -> What {
    let mut victim = stage.replicas.remove(0);
    let bound = memory::bound(victim.pid());
    let mut large = stage.cases[0].clone();
    large.body.resize(12 << 20, b' ');
    // It may take several: what the process has it may use again.
    for _ in 0..200 {
        let mut caller = Caller::new(victim.webhook.parse().unwrap(), stage.trust.clone());
        let _ = caller.ask(&large).await;
        if victim.ended().is_some() {
            break;
        }
    }
    let status = wait(MOMENTS, || victim.ended());
    assert!(!status.success(), "{status}");
    replaced(stage, &victim.name);
    What {
        victims: vec![victim.name.clone()],
        seen: format!("{status}, by {}", bound.name()),
        ..What::default()
    }
}

/// Waits until the balancer knows, and puts another in the place.
fn replaced(stage: &mut Stage, victim: &str) {
    wait(MOMENTS, || (!stage.balancer.is_ready(victim)).then_some(()));
    stage.balancer.remove(victim);
    let new = stage.another(&[]);
    new.enter(&stage.balancer);
    stage.replicas.push(new);
}

/// One does not move for a while, and then does.
pub async fn frozen(stage: &mut Stage, _: &Running, scale: &Scale) -> What {
    let victim = stage.replicas[0].name.clone();
    stage.replicas[0].signal("STOP");
    wait(MOMENTS, || (!stage.balancer.is_ready(&victim)).then_some(()));
    tokio::time::sleep(scale.freeze).await;
    stage.replicas[0].signal("CONT");
    wait(MOMENTS, || stage.balancer.is_ready(&victim).then_some(()));
    What { victims: vec![victim], seen: "taken for dead, and taken back".into(), ..What::default() }
}

/// The law changes every second.
pub async fn edited(stage: &mut Stage, _: &Running, scale: &Scale) -> What {
    let mut laws = std::collections::BTreeSet::from([stage.replicas[0].law()]);
    for n in 0..scale.edits {
        put(stage, "tick.rego", &TICK.replace("NUMBER", &n.to_string()));
        tokio::time::sleep(Duration::from_secs(1)).await;
        laws.insert(stage.replicas[n % 3].law());
    }
    let last = wait(MOMENTS, || {
        let all: Vec<String> = stage.replicas.iter().map(super::replica::Replica::law).collect();
        all.iter().all(|law| law == &all[0]).then(|| all[0].clone())
    });
    laws.insert(last);
    assert!(laws.len() > scale.edits / 2, "{} laws of {}", laws.len(), scale.edits);
    seen(format!("{} laws were seen in force", laws.len()))
}

/// A policy that does not parse stands beside the others, and is taken away.
pub async fn broken(stage: &mut Stage, load: &Running, scale: &Scale) -> What {
    let before = stage.replicas[0].law();
    let refused = |stage: &Stage| {
        let each = stage.replicas.iter();
        each.map(|replica| replica.metric("portcullis_policy_reload_total", &["result=\"error\""])).collect()
    };
    let earlier: Vec<f64> = refused(stage);
    put(stage, "broken.rego", "package portcullis.broken\n\ndeny contains finding if {\n");
    wait(MOMENTS, || refused(stage).iter().zip(&earlier).all(|(now, then)| now > then).then_some(()));
    while load.sent() < scale.reviews * 3 / 4 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(stage.replicas.iter().all(|replica| replica.law() == before), "the law before stays");
    std::fs::remove_file(stage.path("policies/proof/broken.rego")).unwrap();
    seen("refused by three replicas, which kept the law before")
}

/// A new leaf; then a new authority: both are believed before the first leaf of it is served, the old one until the last.
pub async fn certificates(stage: &mut Stage, _: &Running, _: &Scale) -> What {
    let old = stage.authority.cert_pem().to_owned();
    served_anew(stage, |stage| stage.issue(&stage.authority));
    let new = CertificateAuthority::new("proof, the second").unwrap();
    let both = format!("{old}{}", new.cert_pem());
    *stage.trust.write().unwrap() = caller::trust(&[&old, new.cert_pem()]);
    stage.register(&both);
    // The API server learns of its configurations by a watch.
    tokio::time::sleep(Duration::from_secs(2)).await;
    served_anew(stage, |stage| stage.issue(&new));
    *stage.trust.write().unwrap() = caller::trust(&[new.cert_pem()]);
    stage.register(new.cert_pem());
    stage.authority = new;
    seen("leaf, then authority, served by three replicas")
}

fn served_anew(stage: &Stage, change: impl FnOnce(&Stage)) {
    let count = |stage: &Stage| -> Vec<usize> {
        let each = stage.replicas.iter();
        each.map(|replica| replica.told().matches("serving a new certificate").count()).collect()
    };
    let before = count(stage);
    change(stage);
    wait(MOMENTS, || count(stage).iter().zip(&before).all(|(now, then)| now > then).then_some(()));
}

/// The ledger changes fifty times a second.
pub async fn changing(stage: &mut Stage, _: &Running, scale: &Scale) -> What {
    let first = revision(stage);
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    for n in 0..scale.changes {
        pace.tick().await;
        change(stage, n);
    }
    let last = followed(stage);
    assert!(last >= first + number(scale.changes), "{first} to {last}");
    seen(format!("{} revisions, at three replicas", last - first))
}

/// The database is shut down, and started again.
pub async fn database(stage: &mut Stage, _: &Running, scale: &Scale) -> What {
    let own = stage.ledger.own.as_ref().unwrap();
    own.stop();
    let body = json!({"registries": []});
    let path = format!("{TENANTS}/{BYSTANDER}");
    let (status, _) = stage.ledger.call(&stage.api, "PATCH", &path, Some(&body));
    assert_eq!(status, 503, "the API says so");
    tokio::time::sleep(scale.outage).await;
    own.start_again();
    wait(MOMENTS, || (stage.ledger.call(&stage.api, "PATCH", &path, Some(&body)).0 == 200).then_some(()));
    change(stage, 1);
    followed(stage);
    seen(format!("away for {} s, the API said 503; followed again", scale.outage.as_secs()))
}

/// The API server is ended and started again.
pub async fn api_server(stage: &mut Stage, _: &Running, _: &Scale) -> What {
    stage.plane.without_server(|| {});
    What { away: true, seen: "ended, and ready again".into(), ..What::default() }
}

/// What one keeps for its next start does not fit on the disk any more.
pub async fn full_disk(stage: &mut Stage, _: &Running, _: &Scale) -> What {
    let errors = |stage: &Stage| {
        stage.replicas[0].metric("portcullis_snapshot_cache_writes_total", &["result=\"error\""])
    };
    let before = errors(stage);
    stage.replicas[0].disk(Some(100));
    let mut n = 0;
    wait(MOMENTS, || {
        n += 1;
        change(stage, n);
        (errors(stage) > before).then_some(())
    });
    followed(stage);
    let failed = errors(stage) - before;
    stage.replicas[0].disk(None);
    seen(format!("{failed} snapshots could not be kept"))
}

/// One change of the ledger that no review of the load depends on.
pub fn change(stage: &Stage, n: usize) {
    let registries: Value =
        if n.is_multiple_of(2) { json!(["registry.example.com/tenants/even"]) } else { json!([]) };
    let body = json!({"registries": registries, "displayName": format!("Number {n}")});
    stage.ledger.ok(&stage.api, "PATCH", &format!("{TENANTS}/{BYSTANDER}"), body);
}

pub fn revision(stage: &Stage) -> f64 {
    // After an outage the API has to find its own way back to the ledger first.
    wait(MOMENTS, || match stage.ledger.call(&stage.api, "GET", "/api/v1/snapshot", None) {
        (200, snapshot) => snapshot["revision"].as_f64(),
        _ => None,
    })
}

/// Waits until every replica has what the ledger has now.
pub fn followed(stage: &Stage) -> f64 {
    let revision = revision(stage);
    let has =
        |replica: &super::replica::Replica| replica.metric("portcullis_snapshot_revision", &[]) >= revision;
    wait(MOMENTS, || stage.replicas.iter().all(has).then_some(revision))
}

/// Puts a policy beside the others, whole or not at all.
fn put(stage: &Stage, name: &str, text: &str) {
    let dir = stage.path("policies/proof");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(stage.path("part"), text).unwrap();
    std::fs::rename(stage.path("part"), dir.join(name)).unwrap();
}

/// A policy that records and changes no verdict.
const TICK: &str = r#"# METADATA
# title: The clock of the proof, at NUMBER
# custom:
#   id: proof-tick
#   severity: low
#   mode: audit
#   match:
#     - operations: [CREATE]
#       resources: ["configmaps"]
#       namespaces: [sandbox]
package portcullis.proof_tick

deny contains "tick NUMBER" if input.request.operation == "CREATE"
"#;
