//! The ledger's part of a scan: whose the tenants are, and where the result goes.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use serde_json::{Value as Json, json};
use ureq::http::Method;

use super::judge::{Change, Court, Judged};
use crate::cli::ledger::ApiArgs;
use crate::cli::ledger::client::Client;
use crate::cli::ledger::path::{escape, url};
use crate::cli::ledger::show;
use crate::cli::output;
use portcullis_admission::World;
use portcullis_admission::verdict::clip;
use portcullis_tenancy::snapshot::Snapshot;

/// What the API takes: so many findings, in a body of a mebibyte, of which a part is left for what stands around them.
const FINDINGS_MAX: usize = 5000;
const BYTES_MAX: usize = 1_000_000;
/// Characters of an object's path and of a sentence, as the API takes them.
const OBJECT_MAX: usize = 600;
const MESSAGE_MAX: usize = 1024;

/// Where the ledger is, and what is wanted of it.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Ledger")]
pub struct LedgerArgs {
    /// Take the tenants from the ledger instead of a file
    #[arg(long)]
    ledger: bool,
    /// Hand what is denied to the ledger, where tenants see their own; implies --ledger without --tenancy
    #[arg(long)]
    deliver: bool,
    /// URL of the ledger's API
    #[arg(long, env = "PORTCULLIS_API_URL", value_name = "URL", default_value = "http://127.0.0.1:8080")]
    api_url: String,
    /// File with a token; without it PORTCULLIS_TOKEN, and on loopback a token of five minutes by the keys of this user
    #[arg(long, env = "PORTCULLIS_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// PEM of the authority that issued the API's certificate
    #[arg(long, env = "PORTCULLIS_API_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Name that the ledger has for the cluster whose tenants are meant
    #[arg(long, env = "PORTCULLIS_CLUSTER", value_name = "NAME", default_value = "default")]
    ledger_cluster: String,
}

impl LedgerArgs {
    /// Whether a ledger has to be asked at all.
    pub const fn wanted(&self) -> bool {
        self.ledger || self.deliver
    }

    /// Whether the tenants come from it; `file` says that they have come from elsewhere.
    ///
    /// # Errors
    /// Both were asked for.
    pub fn reads(&self, file: bool) -> anyhow::Result<bool> {
        if self.ledger && file {
            bail!("--tenancy and --ledger both say who the tenants are; leave one out");
        }
        Ok(self.wanted() && !file)
    }

    /// The same in the words of the ledger's own commands.
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

    /// What is to be handed over, if anything.
    pub fn delivery(&self) -> Option<Delivery> {
        self.deliver.then(Delivery::default)
    }
}

/// The world as the ledger has it now.
///
/// # Errors
/// It does not answer, refuses, or answers what is no snapshot.
pub fn world(client: &Client) -> anyhow::Result<World> {
    let path = format!("{}?wait=1&cluster={}", url(&["snapshot"]), escape(client.cluster_name()));
    let mut answer = client.get(&path)?;
    let whole =
        answer.get_mut("whole").map(Json::take).context("the ledger answered without its snapshot")?;
    Ok(World::new(Arc::new(Snapshot::of("the ledger's snapshot", whole)?)))
}

/// What is denied, as much of it as the ledger takes.
#[derive(Debug, Default)]
pub struct Delivery {
    findings: Vec<Json>,
    bytes: usize,
    left_out: usize,
}

impl Delivery {
    /// Adds what an object is denied for.
    pub fn add(&mut self, object: &Judged, world: &World) {
        let bites =
            object.found.iter().filter(|found| found.level.bites() && found.change != Some(Change::Gone));
        let tenant = object.tenant.as_ref().and_then(|slug| world.snapshot.tenants.get(slug));
        for found in bites {
            // What the gate itself could not do is told under its own name.
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

    /// The body of `POST /api/v1/scans`.
    pub fn body(&self, court: &Court) -> Json {
        json!({
            "startedAt": court.moment.now,
            "lawRevision": court.judge.law.digest,
            "findings": self.findings,
        })
    }

    /// The findings, as the API takes them.
    pub fn findings(&self) -> Vec<Json> {
        self.findings.clone()
    }

    /// How many findings are in it, and how many had no room.
    pub const fn counts(&self) -> (usize, usize) {
        (self.findings.len(), self.left_out)
    }

    /// Hands it over, and says how much of it.
    ///
    /// # Errors
    /// The ledger does not answer, or refuses.
    pub fn send(&self, client: &Client, court: &Court) -> anyhow::Result<()> {
        let answer = client.send(&Method::POST, &url(&["scans"]), Some(&self.body(court)), None)?;
        let id = answer.body.get("id").and_then(Json::as_str).unwrap_or_default();
        let (sent, left_out) = self.counts();
        output::note(format!("delivered to the ledger as scan {id}: {}", output::count(sent, "finding")));
        if left_out > 0 {
            output::note(format!(
                "{} left out: the ledger takes {FINDINGS_MAX} and {BYTES_MAX} bytes a scan",
                output::count(left_out, "finding")
            ));
        }
        Ok(())
    }
}
