//! An innocent tenant: small Pods at a modest pace, half of them with an image that must be denied.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use portcullis_admission::cases::{Answer, Word};
use tokio::time::{MissedTickBehavior, interval};

use super::Target;
use super::caller::Caller;
use crate::support::wire::{Ask, EVIL, GOOD};

/// Between two reviews of a caller, of which there are four.
const PACE: Duration = Duration::from_millis(20);
const CALLERS: usize = 4;

/// What came of its reviews.
#[derive(Default)]
pub struct Innocent {
    pub took: Vec<Duration>,
    pub flaws: Vec<String>,
}

impl Innocent {
    /// The time within which so many of its reviews were answered.
    pub fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.took.clone();
        sorted.sort_unstable();
        let at = sorted.len() * percent / 100;
        sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or(Duration::MAX)
    }
}

/// Asks until the end.
pub fn begin(target: Target) -> JoinHandle<Innocent> {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut callers = tokio::task::JoinSet::new();
            for n in 0..CALLERS {
                callers.spawn(call(target.clone(), n));
            }
            let mut all = Innocent::default();
            for one in callers.join_all().await {
                all.took.extend(one.took);
                all.flaws.extend(one.flaws);
            }
            all
        })
    })
}

async fn call(target: Target, caller: usize) -> Innocent {
    let (mut found, mut connection) = (Innocent::default(), Caller::new(&target, "127.0.0.1"));
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for n in 0.. {
        pace.tick().await;
        if target.over() {
            break;
        }
        let (path, image, word) = match n % 4 {
            0 | 1 => ("/validate?timeout=3s", GOOD, Word::Allow),
            2 => ("/validate?timeout=3s", EVIL, Word::Deny),
            _ => ("/mutate?timeout=2s", GOOD, Word::Allow),
        };
        let uid = format!("705ab4f5-6393-11e8-b7cc-{caller:04x}{n:08x}");
        let ask = Ask { uid, ..Ask::pod(image) };
        let (body, began) = (ask.body(), Instant::now());
        let flaw = match connection.ask(path, &body).await {
            Err(why) => Some(why),
            Ok(reply) if reply.status != 200 => Some(format!("HTTP {}", reply.status)),
            Ok(reply) => match Answer::read(&reply.body) {
                Err(why) => Some(why),
                Ok(answer) if answer.uid() != ask.uid => Some("another's answer".to_owned()),
                Ok(answer) if answer.verdict() != word => Some(format!("not {word:?}: {}", answer.message())),
                Ok(_) => None,
            },
        };
        found.took.push(began.elapsed());
        found.flaws.extend(flaw.map(|flaw| format!("innocent {path} {image}: {flaw}")));
    }
    found
}
