//! Named background tasks. Each task is stopped and awaited, and a task that ends early is reported: a gate whose
//! reload task is gone would serve old policies without a sign of it.

use std::collections::HashMap;
use std::error::Error;
use std::future::Future;
use std::time::Duration;

use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

/// Tasks of one owner. Dropping it aborts them.
#[derive(Default)]
pub struct Tasks {
    set: JoinSet<Result<(), String>>,
    names: HashMap<Id, &'static str>,
    stop: CancellationToken,
}

/// A task that ended before it was stopped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("task `{name}` {how}")]
pub struct Died {
    pub name: &'static str,
    pub how: How,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum How {
    #[error("returned")]
    Returned,
    #[error("failed: {0}")]
    Failed(String),
    #[error("panicked: {0}")]
    Panicked(String),
    /// It did not stop within the grace period and was aborted.
    #[error("did not stop in time")]
    Stuck,
}

impl Tasks {
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task that runs until its token is cancelled.
    pub fn spawn<F, E>(&mut self, name: &'static str, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let future = task(self.stop.child_token());
        let handle =
            self.set.spawn(async move { future.await.map_err(|error| chain(error.into().as_ref())) });
        self.names.insert(handle.id(), name);
    }

    /// Returns when a task has ended; never if there are none.
    pub async fn died(&mut self) -> Died {
        match self.set.join_next_with_id().await {
            Some(ended) => self.name(ended),
            None => std::future::pending().await,
        }
    }

    /// Stops all tasks and waits up to `grace`; what is left is aborted. Returns those that failed.
    pub async fn stop(mut self, grace: Duration) -> Vec<Died> {
        self.stop.cancel();
        let mut bad = Vec::new();
        let until = tokio::time::Instant::now() + grace;
        while let Ok(next) = tokio::time::timeout_at(until, self.set.join_next_with_id()).await {
            let Some(ended) = next else { return bad };
            let died = self.name(ended);
            if died.how != How::Returned {
                bad.push(died);
            }
        }
        bad.extend(self.names.values().map(|name| Died { name, how: How::Stuck }));
        bad
    }

    fn name(&mut self, ended: Result<(Id, Result<(), String>), JoinError>) -> Died {
        let (id, how) = match ended {
            Ok((id, Ok(()))) => (id, How::Returned),
            Ok((id, Err(chain))) => (id, How::Failed(chain)),
            Err(error) => (error.id(), how(error)),
        };
        Died { name: self.names.remove(&id).unwrap_or("unnamed"), how }
    }
}

fn how(error: JoinError) -> How {
    match error.try_into_panic() {
        Ok(panic) => How::Panicked(
            panic
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_else(|| "without a message".to_owned()),
        ),
        Err(_) => How::Stuck,
    }
}

/// The error and its sources on one line, since the task's owner logs only text.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[tokio::test]
    async fn early_end_of_a_task_is_reported_by_name() {
        async fn check(how: How, task: impl Future<Output = Result<(), io::Error>> + Send + 'static) {
            let mut tasks = Tasks::new();
            tasks.spawn("steady", async |stop: CancellationToken| {
                stop.cancelled().await;
                Ok::<_, io::Error>(())
            });
            tasks.spawn("victim", |_| task);
            assert_eq!(tasks.died().await, Died { name: "victim", how });
            assert_eq!(tasks.stop(Duration::from_secs(5)).await, []);
        }
        check(How::Returned, async { Ok(()) }).await;
        check(How::Failed("disk on fire".into()), async { Err(io::Error::other("disk on fire")) }).await;
        check(How::Panicked("out of luck".into()), async { panic!("out of luck") }).await;
    }

    #[tokio::test]
    async fn stuck_task_is_aborted_and_reported() {
        let mut tasks = Tasks::new();
        tasks.spawn("stubborn", |_| std::future::pending::<Result<(), io::Error>>());
        let bad = tasks.stop(Duration::from_millis(5)).await;
        assert_eq!(bad, [Died { name: "stubborn", how: How::Stuck }]);
    }
}
