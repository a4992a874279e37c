//! More load than there is capacity for: one tenant asks for far more than its share, two for less.

use std::sync::Arc;
use std::time::Duration;

use portcullis_admission::cases::Case;

use super::balancer::Balancer;
use super::load::{Load, Tally};
use super::stage::Stage;
use super::{Scale, number};

/// Of what there is capacity for, what is asked for: twice by the greedy tenant, a sixth by each of the modest two, which
/// is half of the third that is a fair share.
const GREEDY: f64 = 2.0;
const MODEST: f64 = 1.0 / 6.0;

/// What one tenant asked for and got.
pub struct Share {
    pub tenant: &'static str,
    pub wanted: f64,
    pub tally: Tally,
}

/// The capacity in reviews a second, and what each tenant got when more was asked for.
pub async fn run(stage: &Stage, scale: &Scale) -> (f64, Vec<Share>) {
    let capacity = capacity(stage, scale).await;
    let asks = [("acme", GREEDY, 256), ("globex", MODEST, 16), ("initech", MODEST, 16)];
    let asking: Vec<_> = asks
        .into_iter()
        .map(|(tenant, times, callers)| {
            let load = Load { cases: Arc::new(of(stage, tenant)), callers, ..stage.load(times * capacity) };
            let (ways, time) = (stage.balancer.ways(), scale.overload);
            std::thread::spawn(move || ask(tenant, load, &ways, time))
        })
        .collect();
    (capacity, asking.into_iter().map(|asking| asking.join().unwrap()).collect())
}

/// One tenant's callers and the balancer between, on a thread of their own: in one run queue with the others they would
/// wait for those, whatever the gate does.
fn ask(tenant: &'static str, load: Load, ways: &[[String; 3]], time: Duration) -> Share {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let balancer = Balancer::start().await;
        ways.iter().for_each(|[name, webhook, admin]| balancer.add(name, webhook, admin));
        let load = Load { balancer, ..load };
        let running = load.begin();
        tokio::time::sleep(time).await;
        let tally = running.end(0).await;
        Share { tenant, wanted: load.rate * tally.took.as_secs_f64(), tally }
    })
}

/// What the replicas and this caller together can do, each waiting for the other.
async fn capacity(stage: &Stage, scale: &Scale) -> f64 {
    let load = Load { callers: 32, ..stage.load(1e6) }.begin();
    tokio::time::sleep(scale.overload / 2).await;
    let tally = load.end(0).await;
    assert!(tally.wrong.is_empty() && tally.failed() == 0, "{:?} {:?}", tally.wrong, tally.failed);
    number(tally.sent) / tally.took.as_secs_f64()
}

/// The cases in a sandbox of a tenant.
fn of(stage: &Stage, tenant: &str) -> Vec<Case> {
    let namespace = format!("\"namespace\":\"tn-{tenant}-");
    let is_its = |case: &&Case| std::str::from_utf8(&case.body).is_ok_and(|body| body.contains(&namespace));
    let cases: Vec<Case> = stage.cases.iter().filter(is_its).cloned().collect();
    assert!(!cases.is_empty(), "{tenant}");
    cases
}

/// Whether a tenant that asked for less than its share got nearly all of it, and the greedy one no less than a share. A ratio of
/// one run, and never a time.
pub fn is_fair(share: &Share, all: &[Share]) -> bool {
    let answered: f64 = all.iter().map(|share| rate(&share.tally)).sum();
    let asked = share.wanted / share.tally.took.as_secs_f64();
    rate(&share.tally) > 0.7 * asked.min(answered / number(all.len()))
}

/// How many were answered a second.
pub fn rate(tally: &Tally) -> f64 {
    number(tally.sent - tally.shed) / tally.took.max(Duration::from_millis(1)).as_secs_f64()
}
