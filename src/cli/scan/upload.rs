//! The ledger's part of a scan: its tenants as the snapshot, and the upload of the findings.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use serde_json::{Value as Json, json};
use ureq::http::Method;

use super::context::{Change, ScanContext, ScannedObject};
use crate::cli::ledger::ApiArgs;
use crate::cli::ledger::client::Client;
use crate::cli::ledger::path::{escape, url};
use crate::cli::ledger::show;
use crate::cli::output;
use portcullis_admission::PreparedSnapshot;
use portcullis_admission::verdict::clip;
use portcullis_tenancy::snapshot::Snapshot;

/// Limits of the API: findings per scan, and a body of 1 MiB with room for the other fields.
const FINDINGS_MAX: usize = 5000;
const BYTES_MAX: usize = 1_000_000;
/// Character limits of the API.
const OBJECT_MAX: usize = 600;
const MESSAGE_MAX: usize = 1024;

#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Ledger")]
pub struct LedgerArgs {
    /// Read the tenants from the ledger instead of a file
    #[arg(long)]
    ledger: bool,
    /// Upload denied findings to the ledger, where tenants see their own; implies --ledger without --tenancy
    #[arg(long)]
    upload: bool,
    /// URL of the ledger's API
    #[arg(long, env = "PORTCULLIS_API_URL", value_name = "URL", default_value = "http://127.0.0.1:8080")]
    api_url: String,
    /// File with a token; by default PORTCULLIS_TOKEN, and on loopback a 5-minute token signed with this user's keys
    #[arg(long, env = "PORTCULLIS_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// PEM file with the CA certificates that verify the API's certificate
    #[arg(long, env = "PORTCULLIS_API_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Name of the cluster in the ledger
    #[arg(long, env = "PORTCULLIS_CLUSTER", value_name = "NAME", default_value = "default")]
    ledger_cluster: String,
}

impl LedgerArgs {
    pub const fn wanted(&self) -> bool {
        self.ledger || self.upload
    }

    /// Whether the tenants come from the ledger; `file` tells that --tenancy is given.
    pub fn reads(&self, file: bool) -> anyhow::Result<bool> {
        if self.ledger && file {
            bail!("--tenancy and --ledger both name the source of the tenants; give one of them");
        }
        Ok(self.wanted() && !file)
    }

    pub fn api(&self) -> ApiArgs {
        ApiArgs {
            as_tenant: None,
            api_url: self.api_url.clone(),
            token_file: self.token_file.clone(),
            ca: self.ca.clone(),
            cluster: self.ledger_cluster.clone(),
            output: show::Format::Table,
        }
    }

    pub fn upload(&self) -> Option<LedgerUpload> {
        self.upload.then(LedgerUpload::default)
    }
}

pub fn tenancy(client: &Client) -> anyhow::Result<PreparedSnapshot> {
    let path = format!("{}?wait=1&cluster={}", url(&["snapshot"]), escape(client.cluster_name()));
    let mut answer = client.get(&path)?;
    let whole =
        answer.get_mut("whole").map(Json::take).context("the ledger answered without its snapshot")?;
    Ok(PreparedSnapshot::new(Arc::new(Snapshot::of("the ledger's snapshot", whole)?)))
}

/// The denied findings, up to the limits of the API.
#[derive(Debug, Default)]
pub struct LedgerUpload {
    findings: Vec<Json>,
    bytes: usize,
    left_out: usize,
}

impl LedgerUpload {
    pub fn add(&mut self, object: &ScannedObject, tenancy: &PreparedSnapshot) {
        let bites = object
            .findings
            .iter()
            .filter(|found| found.level.bites() && found.change != Some(Change::Resolved));
        let tenant = object.tenant.as_ref().and_then(|slug| tenancy.snapshot.tenants.get(slug));
        for found in bites {
            // Failures of the gate itself have the policy name `portcullis`.
            let policy = if found.policy.is_empty() { "portcullis" } else { &found.policy };
            let mut finding = json!({
                "policy": policy,
                "object": clip(&object.path(), OBJECT_MAX - 1),
                "message": clip(&found.sentence, MESSAGE_MAX - 1),
            });
            if let (Some(fields), Some(tenant)) = (finding.as_object_mut(), tenant) {
                fields.insert("tenantId".to_owned(), (*tenant.id).into());
            }
            let bytes = finding.to_string().len() + 1;
            if self.findings.len() >= FINDINGS_MAX || self.bytes + bytes > BYTES_MAX {
                self.left_out += 1;
                continue;
            }
            self.bytes += bytes;
            self.findings.push(finding);
        }
    }

    pub fn body(&self, context: &ScanContext) -> Json {
        json!({
            "startedAt": context.moment.now,
            "policyRevision": context.evaluator.policies.digest,
            "findings": self.findings,
        })
    }

    pub fn findings(&self) -> Vec<Json> {
        self.findings.clone()
    }

    /// Uploaded and omitted findings.
    pub const fn counts(&self) -> (usize, usize) {
        (self.findings.len(), self.left_out)
    }

    pub fn send(&self, client: &Client, context: &ScanContext) -> anyhow::Result<()> {
        let answer = client.send(&Method::POST, &url(&["scans"]), Some(&self.body(context)), None)?;
        let id = answer.body.get("id").and_then(Json::as_str).unwrap_or_default();
        let (sent, left_out) = self.counts();
        output::note(format!("uploaded to the ledger as scan {id}: {}", output::count(sent, "finding")));
        if left_out > 0 {
            output::note(format!(
                "{} not uploaded: the ledger takes {FINDINGS_MAX} and {BYTES_MAX} bytes a scan",
                output::count(left_out, "finding")
            ));
        }
        Ok(())
    }
}
