//! `portcullis catalog`: lists, publishes and installs catalog items.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Map, Value as Json, json};
use ureq::http::Method;

use super::path::{ProjectPath, escape, url};
use super::{ApiArgs, Exit, apply, run as with, show};

const COLUMNS: [show::Column; 6] = [
    ("slug", "slug"),
    ("name", "name"),
    ("scope", "scope"),
    ("category", "category"),
    ("latest", "latestVersion"),
    ("description", "description"),
];
const VERSIONS: [show::Column; 2] = [("version", "version"), ("at", "createdAt")];

const EXAMPLES: &str = "\
Examples:
  portcullis catalog publish -f web.yaml
  portcullis catalog install web acme/shop --version 1.2.0
  portcullis catalog list --category databases";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    api: ApiArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List items
    List {
        /// Only items of this category
        #[arg(long, value_name = "WORD")]
        category: Option<String>,
        /// Only items that match these words
        #[arg(long, short, value_name = "WORDS")]
        query: Option<String>,
    },
    /// Show an item
    Get {
        /// Slug of the item
        slug: String,
    },
    /// List the versions of an item
    Versions {
        /// Slug of the item
        slug: String,
    },
    /// Publish an item, or a new version of it
    Publish {
        /// YAML or JSON file with slug, name, scope, version and source
        #[arg(long, short, value_name = "FILE")]
        file: PathBuf,
    },
    /// Install an item as an app, or update that app to another version
    Install {
        /// Slug of the item
        slug: String,
        /// TENANT/PROJECT
        project: ProjectPath,
        /// Name of the app; by default the item's slug
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// Version; by default the newest
        #[arg(long, value_name = "VERSION")]
        version: Option<String>,
        /// YAML or JSON file that is merged over the item's source
        #[arg(long, value_name = "FILE")]
        overrides: Option<PathBuf>,
    },
    /// Delete an item that no app refers to
    Delete {
        /// Slug of the item
        slug: String,
        /// Delete it even if an app refers to it
        #[arg(long)]
        force: bool,
    },
}

pub fn run(args: Args) -> anyhow::Result<Exit> {
    with(&args.api, |client| {
        let item = |slug: &str| url(&["catalog", slug]);
        match args.command {
            Command::List { category, query } => {
                let given = [("category", category), ("q", query)];
                let words = given
                    .iter()
                    .filter_map(|(key, word)| Some(format!("{key}={}", escape(word.as_deref()?))));
                let query = words.collect::<Vec<_>>().join("&");
                let mark = if query.is_empty() { "" } else { "?" };
                show::list(client, &COLUMNS, &client.list(&format!("{}{mark}{query}", url(&["catalog"])))?)?;
            }
            Command::Get { slug } => show::one(client, &client.get(&item(&slug))?)?,
            Command::Versions { slug } => {
                show::list(client, &VERSIONS, &client.list(&url(&["catalog", &slug, "versions"]))?)?;
            }
            Command::Publish { file } => publish(client, &apply::document(&file)?)?,
            Command::Install { slug, project, name, version, overrides } => {
                let mut body: Map<String, Json> =
                    Map::from_iter([("slug".to_owned(), Json::from(slug.as_str()))]);
                body.extend(name.map(|name| ("name".to_owned(), Json::from(name))));
                body.extend(version.map(|version| ("version".to_owned(), Json::from(version))));
                if let Some(file) = overrides {
                    body.insert("overrides".into(), apply::document(&file)?);
                }
                let path = client.project(&project, &["catalog", "install"]);
                let done = client.send(&Method::POST, &path, Some(&body.into()), None)?;
                let [app, version, namespace] =
                    ["appSlug", "catalogVersion", "namespace"].map(|field| show::cell(&done.body, field));
                let sentence = match done.status {
                    200 => format!("app/{app} unchanged: {slug} {version}"),
                    _ => format!("app/{app} runs {slug} {version} in namespace {namespace}"),
                };
                show::done(client, &sentence, &done.body)?;
            }
            Command::Delete { slug, force } => {
                let path = format!("{}{}", item(&slug), if force { "?force=true" } else { "" });
                let gone = client.send(&Method::DELETE, &path, None, None)?.body;
                show::done(client, &format!("catalogitem/{slug} deleted"), &gone)?;
            }
        }
        Ok(Exit::Ok)
    })
}

/// Publishes a new item, or a new version of an existing one.
pub(super) fn publish(client: &super::client::Client, document: &Json) -> anyhow::Result<()> {
    let [slug, version] = ["slug", "version"].map(|field| show::cell(document, field));
    let known = client.find(&url(&["catalog", &slug]))?;
    let made = match known {
        None => client.send(&Method::POST, &url(&["catalog"]), Some(document), None)?,
        Some(_) => {
            let body = json!({"version": document.get("version"), "source": document.get("source")});
            client.send(&Method::POST, &url(&["catalog", &slug, "versions"]), Some(&body), None)?
        }
    };
    show::done(client, &format!("catalogitem/{slug} {version} published"), &made.body)
}
