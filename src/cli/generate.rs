//! Commands that print what needs no server and no file: a namespace name, the OpenAPI document, a completion script.

use clap::{CommandFactory as _, Subcommand};
use clap_complete::Shell;

use super::{Cli, Exit, output};
use portcullis_api::{openapi, routes};
use portcullis_tenancy::name as namespace_name;

const NAME_EXAMPLES: &str = "\
Examples:
  portcullis name app acme shop frontend    tn-acme-shop-app-frontend
  portcullis name sandbox acme shop 7       tn-acme-shop-sbx-007";

#[derive(Debug, clap::Args)]
#[command(after_help = NAME_EXAMPLES)]
pub struct NameArgs {
    /// Prefix of every tenant namespace, as in `settings.prefix` of the snapshot
    #[arg(long, global = true, default_value = "tn", value_name = "PREFIX")]
    prefix: String,
    #[command(subcommand)]
    unit: Unit,
}

#[derive(Debug, Subcommand)]
enum Unit {
    /// The namespace of an app
    App {
        /// A lower-case letter, then letters and digits; at most 20
        tenant: String,
        /// Letters, digits and inner hyphens, without the tokens `app` and `sbx`; at most 20
        project: String,
        /// Letters, digits and inner hyphens; at most 20
        app: String,
    },
    /// The namespace of a sandbox
    Sandbox {
        /// A lower-case letter, then letters and digits; at most 20
        tenant: String,
        /// Letters, digits and inner hyphens, without the tokens `app` and `sbx`; at most 20
        project: String,
        /// 1 to 999
        number: u16,
    },
}

/// A name that would be too long is an error and never truncated.
pub fn name(args: NameArgs) -> anyhow::Result<Exit> {
    let NameArgs { prefix, unit } = args;
    let name = match unit {
        Unit::App { tenant, project, app } => namespace_name::app(&prefix, &tenant, &project, &app),
        Unit::Sandbox { tenant, project, number } => {
            namespace_name::sandbox(&prefix, &tenant, &project, number)
        }
    };
    output::print(&format!("{}\n", name?))?;
    Ok(Exit::Ok)
}

const OPENAPI_EXAMPLES: &str = "\
Examples:
  portcullis openapi > openapi.json";

#[derive(Debug, clap::Args)]
#[command(after_help = OPENAPI_EXAMPLES)]
pub struct OpenapiArgs {}

pub fn print_openapi(_: OpenapiArgs) -> anyhow::Result<Exit> {
    output::print(&openapi::text(&routes::table())?)?;
    Ok(Exit::Ok)
}

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  portcullis completions bash > /etc/bash_completion.d/portcullis
  portcullis completions zsh  > \"${fpath[1]}/_portcullis\"
  portcullis completions fish > ~/.config/fish/completions/portcullis.fish";

#[derive(Debug, clap::Args)]
#[command(after_help = COMPLETIONS_EXAMPLES)]
pub struct CompletionsArgs {
    /// Shell
    #[arg(value_enum)]
    shell: Shell,
}

pub fn completions(CompletionsArgs { shell }: CompletionsArgs) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "portcullis", &mut script);
    output::print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Ok)
}
