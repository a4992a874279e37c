//! `portcullis name`: the name of a namespace, composed as the gate composes it.

use clap::Subcommand;

use super::{Exit, output};
use portcullis_tenancy::name;

const EXAMPLES: &str = "\
Examples:
  portcullis name app acme shop frontend    tn-acme-shop-app-frontend
  portcullis name sandbox acme shop 7       tn-acme-shop-sbx-007";

/// Words of `portcullis name`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// What every namespace of a tenant begins with; `settings.prefix` of the snapshot
    #[arg(long, global = true, default_value = "tn", value_name = "PREFIX")]
    prefix: String,
    #[command(subcommand)]
    unit: Unit,
}

#[derive(Debug, Subcommand)]
enum Unit {
    /// The one namespace of an app
    App {
        /// A lower-case letter, then letters and digits; at most 20
        tenant: String,
        /// Letters, digits and inner hyphens, without the tokens `app` and `sbx`; at most 20
        project: String,
        /// Letters, digits and inner hyphens; at most 20
        app: String,
    },
    /// A sandbox
    Sandbox {
        /// A lower-case letter, then letters and digits; at most 20
        tenant: String,
        /// Letters, digits and inner hyphens, without the tokens `app` and `sbx`; at most 20
        project: String,
        /// 1 to 999
        number: u16,
    },
}

/// Prints the name.
///
/// # Errors
/// A slug that is none, or a name that would be too long: it is refused and never cut.
pub fn run(args: Args) -> anyhow::Result<Exit> {
    let Args { prefix, unit } = args;
    let name = match unit {
        Unit::App { tenant, project, app } => name::app(&prefix, &tenant, &project, &app),
        Unit::Sandbox { tenant, project, number } => name::sandbox(&prefix, &tenant, &project, number),
    };
    output::print(&format!("{}\n", name?))?;
    Ok(Exit::Fine)
}
