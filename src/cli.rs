//! The command line: words become one call, and its outcome an exit code.
//!
//! Each command has its own file with its `Args` and a `run`; this one only lists them. What they share:
//! [`law`] loads policies and tenants and asks the gate in process, [`output`] is the one place that prints,
//! [`diagnostic`] shows what is wrong with a policy where it stands.

pub mod audit;
pub mod backup;
pub mod breakglass;
pub mod certs;
pub mod completions;
pub mod database;
pub mod demo;
pub mod diagnostic;
pub mod law;
pub mod ledger;
pub mod manifests;
pub mod master_key;
pub mod migrate;
pub mod name;
pub mod openapi;
pub mod output;
pub mod policy;
pub mod restore;
pub mod review;
pub mod scan;
pub mod serve;
pub mod token;
mod yaml;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The version, as `--version` prints it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

const EXAMPLES: &str = "\
Examples:
  portcullis demo                                   see it at work, in half a minute
  portcullis review pod.yaml                        would this be admitted, and if not, why?
  portcullis policy new no-latest-tag               write a policy of your own, with its tests
  portcullis policy test policies                   run them
  portcullis review --policies policies pod.yaml    see it deny
  portcullis serve --policies policies --tenancy tenancy.yaml

Exit codes:
  0  fine
  1  findings or failures: something was denied, a test failed, a policy has problems
  2  usage or broken input";

/// The admission gate of a multi-tenant Kubernetes platform.
///
/// One binary is the server, the policy author's tool and the way to ask what would happen: every command decides
/// by the same function as the gate in the cluster.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version = VERSION, after_help = EXAMPLES, max_term_width = 100)]
#[command(subcommand_required = true, arg_required_else_help = true, disable_help_subcommand = true)]
pub struct Cli {
    /// When to colour what is printed: on a terminal only, always, or never
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "WHEN",
        help_heading = "Everywhere"
    )]
    pub color: output::Colour,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands, in the order in which `--help` lists them.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the gate
    Serve(serve::Args),
    /// Start a gate on loopback, send it real writes as different people, and show what it says
    Demo(demo::Args),
    /// Ask what the gate would say to manifests or AdmissionReviews
    Review(review::Args),
    /// Judge what already exists, under the law as it is or as it might be
    Scan(scan::Args),
    /// Write, check, test and look into policies
    Policy(policy::Args),
    /// Clusters whose tenants the ledger keeps
    Cluster(ledger::cluster::Args),
    /// Tenants: who shares the cluster, and what each may run
    Tenant(ledger::tenant::Args),
    /// Projects of a tenant
    Project(ledger::project::Args),
    /// Apps, each in a namespace of its own
    App(ledger::app::Args),
    /// Sandboxes: namespaces free to edit
    Sandbox(ledger::sandbox::Args),
    /// What can be installed, and installing it
    Catalog(ledger::catalog::Args),
    /// What holds for all tenants
    Settings(ledger::settings::Args),
    /// Make a small platform to try things on
    Seed(ledger::seed::Args),
    /// Ask what the running gate would say, by the ledger as it is now
    Evaluate(ledger::evaluate::Args),
    /// Bring the ledger to what documents say, after showing what would change
    Apply(ledger::apply::Args),
    /// Print what registers the gate with a cluster
    Manifests(manifests::Args),
    /// Make development certificates
    Certs(certs::Args),
    /// Mint the first token, look into one, rotate the keys that sign them
    Token(token::Args),
    /// Lift named laws for named people for hours, by a signature
    Breakglass(breakglass::Args),
    /// Bring the schema of a ledger up to date
    Migrate(migrate::Args),
    /// Replace the master key that secrets in a ledger are sealed with
    MasterKey(master_key::Args),
    /// Write a ledger to one file, while it is served
    Backup(backup::Args),
    /// Put a ledger back from a file, under a new id
    Restore(restore::Args),
    /// Verify the audit log of a ledger
    Audit(audit::Args),
    /// Compose the name of a namespace from slugs
    Name(name::Args),
    /// Print the OpenAPI document of the ledger's API
    Openapi(openapi::Args),
    /// Print a completion script for a shell
    Completions(completions::Args),
}

/// How a command ended. The numbers are the process's exit codes, and this is the one place that says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// Nothing to complain about.
    Fine = 0,
    /// Something was denied, failed, or was found wrong.
    Findings = 1,
    /// Usage or input was broken, so that the question has no answer.
    Broken = 2,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl Exit {
    /// [`Exit::Findings`] where something was found.
    pub const fn findings(found: bool) -> Self {
        if found { Self::Findings } else { Self::Fine }
    }
}

impl Command {
    fn run(self) -> anyhow::Result<Exit> {
        match self {
            Self::Serve(args) => serve::run(args),
            Self::Demo(args) => demo::run(args),
            Self::Review(args) => review::run(args),
            Self::Scan(args) => scan::run(args),
            Self::Policy(args) => policy::run(args),
            Self::Cluster(args) => ledger::cluster::run(args),
            Self::Tenant(args) => ledger::tenant::run(args),
            Self::Project(args) => ledger::project::run(args),
            Self::App(args) => ledger::app::run(args),
            Self::Sandbox(args) => ledger::sandbox::run(args),
            Self::Catalog(args) => ledger::catalog::run(args),
            Self::Settings(args) => ledger::settings::run(args),
            Self::Seed(args) => ledger::seed::run(args),
            Self::Evaluate(args) => ledger::evaluate::run(args),
            Self::Apply(args) => ledger::apply::run(args),
            Self::Manifests(args) => manifests::run(args),
            Self::Certs(args) => certs::run(args),
            Self::Token(args) => token::run(args),
            Self::Breakglass(args) => breakglass::run(args),
            Self::Migrate(args) => migrate::run(args),
            Self::MasterKey(args) => master_key::run(args),
            Self::Backup(args) => backup::run(args),
            Self::Restore(args) => restore::run(args),
            Self::Audit(args) => audit::run(args),
            Self::Name(args) => name::run(args),
            Self::Openapi(args) => openapi::run(args),
            Self::Completions(args) => completions::run(args),
        }
    }
}

/// Runs the words of a command line, the program's name first.
pub fn run(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(words) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are errors to clap, and no failure. Where nobody listens there is nobody to tell.
            let _ = error.print();
            return if error.use_stderr() { Exit::Broken } else { Exit::Fine }.into();
        }
    };
    cli.color.choose();
    cli.command.run().unwrap_or_else(|error| failed(&error)).into()
}

fn failed(error: &anyhow::Error) -> Exit {
    let broken_pipe = |cause: &std::io::Error| cause.kind() == std::io::ErrorKind::BrokenPipe;
    // `portcullis … | head` has read all it wanted.
    if error.chain().filter_map(|cause| cause.downcast_ref()).any(broken_pipe) {
        return Exit::Fine;
    }
    output::error(&format!("{error:#}"));
    Exit::Broken
}
