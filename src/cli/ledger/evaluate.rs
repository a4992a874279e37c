//! `portcullis evaluate`: what the running gate would say, by the ledger as it is now.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value as Json;
use ureq::http::Method;

use super::client::Client;
use super::path::{escape, url};
use super::show::{self, Format};
use super::{ApiArgs, Exit, apply, run as with};
use crate::cli::output::{self, BAD, CARE, GOOD};

/// How often a watched manifest is asked about.
const AGAIN: Duration = Duration::from_millis(250);

const EXAMPLES: &str = "\
Examples:
  portcullis evaluate --as alice --as-group acme-devs pod.yaml
  portcullis evaluate --as alice --as-group acme-devs --watch pod.yaml    tell each time the answer changes";

/// Words of `portcullis evaluate`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    api: ApiArgs,
    /// A manifest or an AdmissionReview, YAML or JSON; `-` is standard input
    file: PathBuf,
    /// Who writes
    #[arg(long = "as", value_name = "USER")]
    user: Option<String>,
    /// A group of who writes, once for each
    #[arg(long = "as-group", value_name = "GROUP")]
    groups: Vec<String>,
    /// What is done: CREATE, DELETE or CONNECT
    #[arg(long, value_name = "OPERATION")]
    operation: Option<String>,
    /// Where, for a manifest that does not say it
    #[arg(long, short, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Ask again and again, and tell each time the answer changes
    #[arg(long)]
    watch: bool,
}

/// Asks; a denial is exit code 1.
///
/// # Errors
/// See [`super::run`].
pub fn run(args: Args) -> anyhow::Result<Exit> {
    let document = apply::document(&args.file)?;
    let groups = (!args.groups.is_empty()).then(|| args.groups.join(","));
    let given = [
        ("user", args.user),
        ("groups", groups),
        ("operation", args.operation),
        ("namespace", args.namespace),
    ];
    let words = given.iter().filter_map(|(key, word)| Some(format!("{key}={}", escape(word.as_deref()?))));
    let query = words.collect::<Vec<_>>().join("&");
    let path = format!("{}?{query}", url(&["policies", "evaluate"]));
    with(&args.api, |client| {
        let mut last = ask(client, &path, &document)?;
        tell(client, &last)?;
        loop {
            if !args.watch {
                break;
            }
            pause();
            let now = ask(client, &path, &document)?;
            if now.get("allowed") != last.get("allowed") || now.get("denials") != last.get("denials") {
                tell(client, &now)?;
            }
            last = now;
        }
        Ok(Exit::findings(last.get("allowed") != Some(&Json::Bool(true))))
    })
}

#[expect(clippy::disallowed_methods, reason = "a command that watches has nothing else to do")]
fn pause() {
    std::thread::sleep(AGAIN);
}

fn ask(client: &Client, path: &str, document: &Json) -> anyhow::Result<Json> {
    Ok(client.send(&Method::POST, path, Some(document), None)?.body)
}

fn tell(client: &Client, said: &Json) -> anyhow::Result<()> {
    if client.format != Format::Table {
        return show::one(client, said);
    }
    let mut text = if said.get("allowed") == Some(&Json::Bool(true)) {
        format!("{GOOD}allowed{GOOD:#}\n")
    } else {
        format!("{BAD}denied{BAD:#}\n{}\n", show::cell(said, "message"))
    };
    for warning in said.get("warnings").and_then(Json::as_array).into_iter().flatten() {
        text += &format!(
            "{CARE}warning{CARE:#} [{}] {}\n",
            show::cell(warning, "policy"),
            show::cell(warning, "msg")
        );
    }
    output::print(&text)
}
