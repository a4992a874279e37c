//! The command line of Portcullis. Every command has a module with its arguments and a function that runs it.

mod backup;
mod breakglass;
mod certs;
mod database;
mod demo;
mod evaluator;
mod generate;
mod ledger;
mod manifests;
mod output;
mod policy;
mod review;
mod scan;
mod serve;
mod token;
mod yaml;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

const VERSION: &str = env!("CARGO_PKG_VERSION");

const EXAMPLES: &str = "\
Examples:
  portcullis demo                                   run a gate with example writes, in half a minute
  portcullis review pod.yaml                        would this be admitted, and if not, why?
  portcullis policy new no-latest-tag               create a policy with its tests
  portcullis policy test policies                   run the tests
  portcullis review --policies policies pod.yaml    see the policy deny a manifest
  portcullis serve --policies policies --tenancy tenancy.yaml

Exit codes:
  0  ok
  1  findings or failures: a request was denied, a test failed, a policy has problems
  2  invalid usage or unreadable input";

/// The admission gate of a multi-tenant Kubernetes platform.
///
/// One binary is the server, the policy author's tool and a client of the gate: every command evaluates policies with the same
/// code as the gate in the cluster.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version = VERSION, after_help = EXAMPLES, max_term_width = 100)]
#[command(subcommand_required = true, arg_required_else_help = true, disable_help_subcommand = true)]
pub struct Cli {
    /// When to colour the output: on a terminal only, always, or never
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "WHEN",
        help_heading = "Global options"
    )]
    color: output::Colour,
    #[command(subcommand)]
    command: Command,
}

/// In the order in which `--help` lists them.
#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gate
    Serve(serve::Args),
    /// Start a gate on loopback, send it writes of several test users, and show the verdicts
    Demo(demo::Args),
    /// Show the gate's verdict on manifests or AdmissionReviews
    Review(review::Args),
    /// Audit existing resources against current or candidate policies
    Scan(scan::Args),
    /// Create, check, test and inspect policies
    Policy(policy::Args),
    /// Manage the clusters of the ledger
    Cluster(ledger::platform::ClusterArgs),
    /// Manage tenants: who shares the cluster, and which images each may run
    Tenant(ledger::tenant::Args),
    /// Manage the projects of a tenant
    Project(ledger::projects::ProjectArgs),
    /// Manage apps, each in a namespace of its own
    App(ledger::projects::AppArgs),
    /// Manage sandboxes: namespaces that their tenant may edit freely
    Sandbox(ledger::projects::SandboxArgs),
    /// Publish and install catalog items
    Catalog(ledger::catalog::Args),
    /// Manage the settings that hold for all tenants
    Settings(ledger::platform::SettingsArgs),
    /// Create a small example platform in the ledger
    Seed(ledger::apply::SeedArgs),
    /// Show the verdict of a running gate, with the current state of the ledger
    Evaluate(ledger::evaluate::Args),
    /// Apply documents to the ledger, and show what changes
    Apply(ledger::apply::Args),
    /// Print or apply the webhook configurations of the gate
    Manifests(manifests::Args),
    /// Create development certificates
    Certs(certs::Args),
    /// Mint the first token, inspect a token, rotate the signing keys
    Token(token::Args),
    /// Temporarily bypass policies for named users, by a signed document
    Breakglass(breakglass::Args),
    /// Bring the schema of a ledger up to date
    Migrate(database::MigrateArgs),
    /// Replace the master key that encrypts the secrets of a ledger
    MasterKey(database::MasterKeyArgs),
    /// Write a ledger to one file, while it is served
    Backup(backup::BackupArgs),
    /// Restore a ledger from a backup, under a new id
    Restore(backup::RestoreArgs),
    /// Verify the audit log of a ledger
    Audit(database::AuditArgs),
    /// Print the namespace name of an app or a sandbox
    Name(generate::NameArgs),
    /// Print the OpenAPI document of the ledger's API
    Openapi(generate::OpenapiArgs),
    /// Print a completion script for a shell
    Completions(generate::CompletionsArgs),
}

/// The exit codes of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Exit {
    Ok = 0,
    /// A request was denied, a test failed, or a problem was found.
    Findings = 1,
    /// Invalid usage or unreadable input.
    Broken = 2,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl Exit {
    const fn findings(found: bool) -> Self {
        if found { Self::Findings } else { Self::Ok }
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
            Self::Cluster(args) => ledger::platform::cluster(args),
            Self::Tenant(args) => ledger::tenant::run(args),
            Self::Project(args) => ledger::projects::project(args),
            Self::App(args) => ledger::projects::app(args),
            Self::Sandbox(args) => ledger::projects::sandbox(args),
            Self::Catalog(args) => ledger::catalog::run(args),
            Self::Settings(args) => ledger::platform::settings(args),
            Self::Seed(args) => ledger::apply::seed(args),
            Self::Evaluate(args) => ledger::evaluate::run(args),
            Self::Apply(args) => ledger::apply::run(args),
            Self::Manifests(args) => manifests::run(args),
            Self::Certs(args) => certs::run(args),
            Self::Token(args) => token::run(args),
            Self::Breakglass(args) => breakglass::run(args),
            Self::Migrate(args) => database::migrate(args),
            Self::MasterKey(args) => database::master_key(args),
            Self::Backup(args) => backup::backup(args),
            Self::Restore(args) => backup::restore(args),
            Self::Audit(args) => database::audit(args),
            Self::Name(args) => generate::name(args),
            Self::Openapi(args) => generate::print_openapi(args),
            Self::Completions(args) => generate::completions(args),
        }
    }
}

/// Parses and runs a command line, the program's name first.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Clap reports help and version as errors too. A closed standard output cannot be reported anywhere.
            let _ = error.print();
            return if error.use_stderr() { Exit::Broken } else { Exit::Ok }.into();
        }
    };
    cli.color.choose();
    cli.command.run().unwrap_or_else(|error| failed(&error)).into()
}

fn failed(error: &anyhow::Error) -> Exit {
    let broken_pipe = |cause: &std::io::Error| cause.kind() == std::io::ErrorKind::BrokenPipe;
    // The reader of `portcullis … | head` has read all it needs.
    if error.chain().filter_map(|cause| cause.downcast_ref()).any(broken_pipe) {
        return Exit::Ok;
    }
    output::error(&format!("{error:#}"));
    Exit::Broken
}
