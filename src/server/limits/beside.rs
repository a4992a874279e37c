//! Work that takes long, away from the workers: on a few threads of its own, to which the system prefers the others.

use std::io;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinError;

use super::slots;

/// What the system is asked to give these threads beside the workers, where both want a processor: a third as much.
#[cfg(target_os = "linux")]
const NICE: i32 = 5;

/// As many threads as slots. What large objects leave behind in an allocator is left behind in these threads alone.
pub struct Beside {
    slots: slots::Slots,
    threads: Option<Runtime>,
}

/// A slot and the thread that belongs to it.
#[must_use = "dropping the slot gives it back"]
pub struct Slot {
    slot: slots::Slot,
    threads: Handle,
}

impl Beside {
    /// # Errors
    /// The system gives no thread.
    pub fn new(count: usize) -> io::Result<Self> {
        let mut threads = Builder::new_current_thread();
        threads.max_blocking_threads(count).thread_name("beside").on_thread_start(yield_to_others);
        Ok(Self { slots: slots::Slots::new(count), threads: Some(threads.build()?) })
    }

    /// Waits for a slot, tenants in turn; none where it does not come within `patience`.
    pub async fn take_in_turn(&self, tenant: &str, patience: Duration) -> Option<Slot> {
        let slot = self.slots.take_in_turn(tenant, patience).await?;
        Some(Slot { slot, threads: self.threads.as_ref()?.handle().clone() })
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // A runtime must not wait for its threads inside of another.
        if let Some(threads) = self.threads.take() {
            threads.shutdown_background();
        }
    }
}

impl Slot {
    /// Works while it holds the slot.
    ///
    /// # Errors
    /// The work panicked, or did not begin because the process ends.
    pub async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        let Self { slot, threads } = self;
        threads
            .spawn_blocking(move || {
                let done = work();
                drop(slot);
                done
            })
            .await
    }
}

/// Nothing depends on it, so a system that refuses it is not told about.
fn yield_to_others() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_runs_away_from_the_workers_one_for_each_slot() {
        let beside = Beside::new(1).unwrap();
        let first = beside.take_in_turn("a", Duration::ZERO).await.unwrap();
        assert!(beside.take_in_turn("b", Duration::from_millis(5)).await.is_none());
        let name = first.run(|| std::thread::current().name().map(str::to_owned)).await.unwrap();
        assert_eq!(name.as_deref(), Some("beside"));
        let second = beside.take_in_turn("b", Duration::from_secs(5)).await.expect("given back");
        let panicked = second.run(|| panic!("on purpose")).await;
        assert!(panicked.unwrap_err().is_panic());
        assert!(
            beside.take_in_turn("b", Duration::from_secs(5)).await.is_some(),
            "a panic gives the slot back"
        );
    }
}
