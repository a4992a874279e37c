//! How many reviews of those that ask for much are worked on at once, so that the others find a processor.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::queues::{Place, Queues};

/// Slots that are given in the order of arrival; all clones are one.
#[derive(Clone)]
pub struct Slots {
    free: Arc<Semaphore>,
    tenants: Queues,
}

/// One slot, given back when dropped.
#[must_use = "dropping the slot gives it back"]
pub struct Slot {
    _permit: OwnedSemaphorePermit,
    _turn: Place,
}

impl Slots {
    /// So many slots. Of one tenant as many may wait for them as there are; the next ones wait behind these, so that another
    /// tenant's review never has more before it than that.
    pub fn new(count: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(count)), tenants: Queues::new(count) }
    }

    /// Waits for a slot for a review of this tenant, tenants in turn; none where it does not come within `patience`.
    pub async fn take_in_turn(&self, tenant: &str, patience: Duration) -> Option<Slot> {
        let wait = async {
            let turn = self.tenants.enter(tenant.as_bytes()).await?;
            Some(Slot { _permit: self.free.clone().acquire_owned().await.ok()?, _turn: turn })
        };
        timeout(patience, wait).await.ok().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn slots_are_as_many_as_said_and_given_back() {
        let slots = Slots::new(2);
        let take = async |tenant: &str| slots.take_in_turn(tenant, Duration::from_millis(5)).await;
        let mut held = vec![take("a").await.unwrap(), take("b").await.unwrap()];
        assert!(take("c").await.is_none());
        held.pop();
        assert!(take("c").await.is_some());
    }

    #[tokio::test]
    async fn tenant_with_many_reviews_waits_for_its_own() {
        let slots = Slots::new(1);
        let order = Arc::new(std::sync::Mutex::new(Vec::new()));
        let first = slots.take_in_turn("first", Duration::ZERO).await.unwrap();
        let mut waiting = tokio::task::JoinSet::new();
        for tenant in ["greedy", "greedy", "greedy", "modest"] {
            let (slots, order) = (slots.clone(), order.clone());
            waiting.spawn(async move {
                let _slot = slots.take_in_turn(tenant, Duration::from_mins(1)).await.unwrap();
                order.lock().unwrap().push(tenant);
                tokio::task::yield_now().await;
            });
            tokio::task::yield_now().await;
        }
        drop(first);
        waiting.join_all().await;
        assert_eq!(*order.lock().unwrap(), ["greedy", "modest", "greedy", "greedy"]);
        assert!(slots.take_in_turn("a", Duration::ZERO).await.is_some());
    }
}
