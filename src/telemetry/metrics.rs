//! Every metric of the process, and the functions that update them. Names are a contract; `docs/metrics.md` lists them.
//!
//! The metrics are global: a process has one set. What every review updates ([`review_completed`], [`PolicyMetrics`])
//! takes no lock and allocates nothing. Labels are bounded and never hold the name of an object, user or namespace.

mod cluster;
mod reviews;
mod series;
mod state;
mod table;
mod text;

#[cfg(test)]
mod tests;

pub use cluster::{
    Scan, api_server_contact, ca_bundle_repaired, cluster_namespaces, namespace_drift, policy_configmaps,
    scan_completed, scan_failed, webhook_config_drift,
};
pub use reviews::{PolicyMetrics, ReviewLabels, review_completed};
pub use state::{
    OpenConnection, api_request, breakglass_windows, certificate_expiry, certificate_trusted,
    client_verification, database_reachable, decision_log_dropped, exemption_used, http_rejected, inflight,
    ledger_token_expiry, patch_dropped, patch_repeats, policy_broken, policy_error, policy_reload,
    policy_revision, request_rejected, snapshot_bytes, snapshot_cache_written, snapshot_confirmed,
    snapshot_forked, snapshot_held, snapshot_reconciled, snapshot_reload, snapshot_revision,
    snapshot_unknown_keys,
};
pub use text::{Description, Kind};

/// Renders the metrics of this process.
#[derive(Debug, Clone, Copy)]
pub struct Handle(());

/// Every call returns the same metrics. The first shows counters of failures as 0, so that an alert on their rate sees
/// the first failure.
pub fn install() -> Handle {
    state::init();
    Handle(())
}

/// Every metric, in the order of `/metrics`.
pub fn all() -> &'static [Description] {
    table::ALL
}

impl Handle {
    /// The response of `/metrics` in the Prometheus text format.
    pub fn render(&self) -> String {
        let mut page = text::Page::new();
        for metric in all() {
            page.head(metric);
            (metric.write)(metric, &mut page);
        }
        page.finish()
    }
}
