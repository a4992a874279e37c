//! `portcullis evaluate`: shows the verdict of a running gate with the current state of the ledger.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value as Json;
use ureq::http::Method;

use super::client::Client;
use super::path::{escape, url};
use super::show::{self, Format};
use super::{ApiArgs, Exit, apply, run as with};
use crate::cli::output::{self, BAD, CARE, GOOD};

const AGAIN: Duration = Duration::from_millis(250);

const EXAMPLES: &str = "\
Examples:
  portcullis evaluate --as alice --as-group acme-devs pod.yaml
  portcullis evaluate --as alice --as-group acme-devs --watch pod.yaml    tell each time the answer changes";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    api: ApiArgs,
    /// Manifest or AdmissionReview, YAML or JSON; `-` is standard input
    file: PathBuf,
    /// Username of the request
    #[arg(long = "as", value_name = "USER")]
    user: Option<String>,
    /// Group of the user; may be repeated
    #[arg(long = "as-group", value_name = "GROUP")]
    groups: Vec<String>,
    /// Operation: CREATE, DELETE or CONNECT
    #[arg(long, value_name = "OPERATION")]
    operation: Option<String>,
    /// Namespace, for a manifest without one
    #[arg(long, short, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Evaluate repeatedly, and print the verdict whenever it changes
    #[arg(long)]
    watch: bool,
}

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
