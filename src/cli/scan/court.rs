//! The law, the world and whoever is taken to have written what exists, from the flags.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::deliver;
use super::judge::Court;
use super::writer::Writers;
use crate::cli::law::{self, Judge, Moment};
use crate::cli::ledger::client::Client;
use crate::cli::output;
use crate::cli::review::who;
use portcullis_policy::set::Options;
use portcullis_policy::{Budget, PolicySet};

/// Which law, in which world, as whom.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "The law and its world")]
pub struct LawArgs {
    /// Directory of policies to judge by; without it the embedded library is the law
    #[arg(long, value_name = "DIR", env = "PORTCULLIS_POLICIES", hide_env_values = true)]
    pub policies: Option<PathBuf>,
    /// Tell only what is different under the law of this directory
    #[arg(long, value_name = "DIR")]
    pub against: Option<PathBuf>,
    /// Snapshot of tenants, projects and namespaces; without it and --ledger the example world
    #[arg(long, value_name = "FILE", env = "PORTCULLIS_TENANCY", hide_env_values = true)]
    pub tenancy: Option<PathBuf>,
    /// Judge everything as created by this user: a username, or a short name of the example world's cast
    #[arg(long = "as", value_name = "USER")]
    pub user: Option<String>,
    /// A group of --as; may be repeated
    #[arg(long = "as-group", value_name = "GROUP", requires = "user")]
    pub groups: Vec<String>,
    /// Hand every policy the whole input instead of what it reads
    #[arg(long)]
    pub full_input: bool,
}

/// The laws, the world and whoever is taken to have written.
///
/// # Errors
/// A law or a world that does not load, a ledger that does not answer.
pub fn court(
    args: &LawArgs,
    ledger: Option<&Client>,
    namespace: Option<String>,
) -> anyhow::Result<(Court, String)> {
    let world = match (&args.tenancy, ledger) {
        (_, Some(client)) => deliver::world(client)?,
        (file, None) => {
            if file.is_none() {
                output::note(
                    "no --tenancy: the example world with the tenants acme, globex, initech and hooli",
                );
            }
            law::world(file.as_deref())?
        }
    };
    let world = Arc::new(world);
    let compile = |policies: Option<&Path>| -> anyhow::Result<PolicySet> {
        law::Files::read(policies)?.compile(Options { full_input: args.full_input, ..Options::default() })
    };
    let law = compile(args.policies.as_deref())?;
    if args.policies.is_none() {
        let count = output::count(law.policies.len(), "policy");
        output::note(format!("no --policies: the embedded library is the law ({count})"));
    }
    let against = args.against.as_deref().map(|dir| compile(Some(dir))).transpose()?;
    let people = law::people(None)?;
    let named = args.user.as_ref().map(|name| who::named(name, &args.groups, &people));
    let name = named.as_ref().map(|person| person.username.clone()).unwrap_or_default();
    let judge = |law: PolicySet| Judge { budget: patient(), ..Judge::new(law, Arc::clone(&world)) };
    let court = Court {
        writers: Writers::new(&world, named),
        against: against.map(judge),
        judge: judge(law),
        moment: Moment::present(),
        namespace,
    };
    Ok((court, name))
}

/// What one policy may spend: its instructions are counted as in the gate, but nobody waits for an answer, and a busy
/// machine is no reason for a finding.
pub fn patient() -> Budget {
    Budget {
        time: Duration::from_secs(5),
        review: Duration::from_secs(20),
        deadline: Duration::from_mins(1),
        ..Budget::default()
    }
}
