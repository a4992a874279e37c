//! `manifests --apply` and `--check` without a file: what is printed, written to the cluster or held against it.

use anyhow::bail;
use serde_json::Value;

use super::Wanted;
use crate::cli::{Exit, output};
use portcullis_cluster::registration;
use portcullis_cluster::{Cluster, ClusterArgs, Need};

/// How `--apply` writes.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct How {
    /// Have --apply judged by the API server, and store nothing
    #[arg(long, requires = "apply")]
    dry_run: bool,

    /// Take fields over that another manager has set to something else
    #[arg(long, requires = "apply")]
    force_conflicts: bool,
}

/// Runs something that asks the cluster.
pub(super) fn ask<T>(
    args: &ClusterArgs,
    what: impl AsyncFnOnce(Cluster) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { what(args.connect().await?).await })
}

/// Writes it all, or says before anything is written why not.
pub(super) async fn apply(cluster: Cluster, wanted: &Wanted, ours: &str, how: How) -> anyhow::Result<Exit> {
    let documents = wanted.documents()?;
    let mut known = Vec::new();
    for document in &documents {
        let (kind, name) = named(document);
        let found = registration::read(&cluster, kind, name).await?;
        if let Some(other) = found.as_ref().and_then(|found| registration::stranger(found, ours)) {
            bail!(
                "{kind} `{name}` calls {other} and not {ours}: another installation has this cluster, and nothing was \
                 written. Give its --service or --url; or, if it is to go, delete the configuration first"
            );
        }
        known.push(found);
    }
    let needs = documents.iter().zip(&known).flat_map(|(document, found)| {
        let (kind, name) = named(document);
        let need = |verb| Need::new(verb, registration::GROUP, registration::plural(kind));
        [Some(need("patch").of(name)), found.is_none().then(|| need("create"))]
    });
    let needs: Vec<Need> = needs.flatten().collect();
    cluster.may(&needs).await?;
    let How { dry_run, force_conflicts: force } = how;
    let how = registration::How { manager: registration::MANAGER, force, dry_run };
    for (document, found) in documents.iter().zip(known) {
        let (kind, name) = named(document);
        let written = match registration::apply(&cluster, document, how).await {
            Ok(written) => written,
            Err(error) if !force && error.to_string().contains("answers 409") => {
                bail!("{error}; --force-conflicts takes these fields over")
            }
            Err(error) => return Err(error.into()),
        };
        let version = |object: &Value| object.pointer("/metadata/resourceVersion").cloned();
        let word = match &found {
            None => "created",
            Some(found) if version(found) == version(&written) => "unchanged",
            Some(_) => "configured",
        };
        let dry = if dry_run { " (dry run)" } else { "" };
        output::print(&format!("{kind}/{name} {word}{dry}\n"))?;
    }
    Ok(Exit::Fine)
}

/// What of it is in the cluster, as documents.
pub(super) async fn read(cluster: Cluster, wanted: &Wanted) -> anyhow::Result<Vec<Value>> {
    let mut found = Vec::new();
    for document in wanted.documents()? {
        let (kind, name) = named(&document);
        found.extend(registration::read(&cluster, kind, name).await?);
    }
    Ok(found)
}

fn named(document: &Value) -> (&str, &str) {
    let text = |pointer| document.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    (text("/kind"), text("/metadata/name"))
}
