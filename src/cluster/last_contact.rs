//! Whether a watch of the API server works, reported by `/readyz`, the log and metrics. Lost contact does not make the gate
//! unready: it decides with the Namespaces that it knows.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{Timestamp, Unit};
use tokio_util::sync::CancellationToken;

use super::follow::WatchUpdate;
use portcullis_lifecycle::ready::Condition;
use portcullis_telemetry::metrics;

/// How long a new replica delays its readiness for the first list.
const FIRST_WAIT: Duration = Duration::from_secs(3);

#[derive(Clone)]
pub struct LastContact(Arc<WatchState>);

struct WatchState {
    condition: Condition,
    watch: &'static str,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Reason and start of the current failure.
    trouble: Option<(String, Timestamp)>,
    /// Whether a complete list was ever received.
    listed: bool,
}

impl LastContact {
    /// `watch` is the label of the metrics.
    pub fn new(condition: Condition, watch: &'static str) -> Self {
        Self(Arc::new(WatchState { condition, watch, state: Mutex::default() }))
    }

    pub fn observe<K>(&self, update: &WatchUpdate<K>) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let WatchUpdate::Failed(error) = update {
            self.lost(&mut state, error.to_string());
            return;
        }
        let first = !state.listed && matches!(update, WatchUpdate::Listed(_));
        state.listed |= first;
        metrics::api_server_contact(self.0.watch);
        if let Some((reason, since)) = state.trouble.take() {
            tracing::info!(watch = self.0.watch, %reason, since = %rounded(since), "the API server answers again");
        }
        let _ = self.0.condition.good();
    }

    /// Stops delaying readiness after [`FIRST_WAIT`], then runs until `stop` is cancelled.
    pub async fn limit_first_wait(&self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(FIRST_WAIT) => {}
        }
        let silent = {
            let state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
            !state.listed && state.trouble.is_none()
        };
        if silent {
            let _ = self.0.condition.good_but("the API server has not answered yet");
        }
        stop.cancelled().await;
    }

    fn lost(&self, state: &mut State, reason: String) {
        let since = state.trouble.as_ref().map_or_else(Timestamp::now, |(_, since)| *since);
        let changed = state.trouble.as_ref().is_none_or(|(known, _)| *known != reason);
        if changed {
            let effect =
                if state.listed { "the last known state stays in use" } else { "no state is known yet" };
            tracing::warn!(watch = self.0.watch, %reason, "the API server does not answer; {effect}");
            let since = rounded(since);
            let _ = self
                .0
                .condition
                .good_but(format!("no answer from the API server since {since}, {effect}: {reason}"));
        }
        state.trouble = Some((reason, since));
    }
}

fn rounded(at: Timestamp) -> Timestamp {
    at.round(Unit::Second).unwrap_or(at)
}
