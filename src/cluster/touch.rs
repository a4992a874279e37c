//! Whether we are in touch with the API server, as `/readyz`, the log and the metrics tell it. Out of touch is a detail of a
//! process that is ready: what is known stays, and a gate decides by it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{Timestamp, Unit};
use tokio_util::sync::CancellationToken;

use super::follow::News;
use portcullis_lifecycle::ready::Condition;
use portcullis_telemetry::metrics;

/// How long the process waits with being ready for the first list, so that a new replica knows what the others know.
const FIRST: Duration = Duration::from_secs(3);

/// How one watch fares; all clones are one.
#[derive(Clone)]
pub struct Touch(Arc<Shared>);

struct Shared {
    condition: Condition,
    watch: &'static str,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Since when, and why, nothing is heard.
    trouble: Option<(String, Timestamp)>,
    /// Whether there ever was a whole list.
    known: bool,
}

impl Touch {
    /// Nothing is known yet, which [`Touch::wait_no_longer`] and the first word of the API server end. `watch` is its name in
    /// metrics.
    pub fn new(condition: Condition, watch: &'static str) -> Self {
        Self(Arc::new(Shared { condition, watch, state: Mutex::default() }))
    }

    /// Hears what a watch was told.
    pub fn hear<K>(&self, news: &News<K>) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let News::Lost(error) = news {
            self.lost(&mut state, error.to_string());
            return;
        }
        let first = !state.known && matches!(news, News::All(_));
        state.known |= first;
        metrics::cluster_heard(self.0.watch);
        if let Some((reason, since)) = state.trouble.take() {
            tracing::info!(watch = self.0.watch, %reason, since = %shown(since), "in touch with the API server again");
        }
        let _ = self.0.condition.good();
    }

    /// Once the first list had its time, nobody waits for it any more; then until told to stop.
    pub async fn wait_no_longer(&self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(FIRST) => {}
        }
        let silent = {
            let state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
            !state.known && state.trouble.is_none()
        };
        if silent {
            let _ = self.0.condition.good_but("nothing is known yet: the API server has not answered");
        }
        stop.cancelled().await;
    }

    fn lost(&self, state: &mut State, reason: String) {
        let since = state.trouble.as_ref().map_or_else(Timestamp::now, |(_, since)| *since);
        let news = state.trouble.as_ref().is_none_or(|(known, _)| *known != reason);
        if news {
            let what = if state.known { "going on with what is known" } else { "nothing is known yet" };
            tracing::warn!(watch = self.0.watch, %reason, "out of touch with the API server; {what}");
            let since = shown(since);
            let _ = self.0.condition.good_but(format!("out of touch since {since}, {what}: {reason}"));
        }
        state.trouble = Some((reason, since));
    }
}

fn shown(at: Timestamp) -> Timestamp {
    at.round(Unit::Second).unwrap_or(at)
}
