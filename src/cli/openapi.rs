//! `portcullis openapi`: the API's document, as `/openapi.json` serves it.

use super::{Exit, output};
use portcullis_api::{openapi, routes};

const EXAMPLES: &str = "\
Examples:
  portcullis openapi > openapi.json";

/// Words of `portcullis openapi`: there are none.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {}

/// Prints it.
///
/// # Errors
/// Where nobody reads what is printed.
pub fn run(_: Args) -> anyhow::Result<Exit> {
    output::print(&openapi::text(&routes::table())?)?;
    Ok(Exit::Fine)
}
