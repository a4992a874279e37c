//! `portcullis catalog`: what can be installed, and installing it.

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

/// Words of `portcullis catalog`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    api: ApiArgs,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List what there is
    List {
        /// Only this category
        #[arg(long, value_name = "WORD")]
        category: Option<String>,
        /// Only what these words are found in
        #[arg(long, short, value_name = "WORDS")]
        query: Option<String>,
    },
    /// Show an item
    Get {
        /// Its slug
        slug: String,
    },
    /// List the versions of an item
    Versions {
        /// Its slug
        slug: String,
    },
    /// Publish an item, or a new version of it
    Publish {
        /// YAML or JSON: slug, name, scope, version, source
        #[arg(long, short, value_name = "FILE")]
        file: PathBuf,
    },
    /// Install an item as an app, or bring that app to another version
    Install {
        /// The item's slug
        slug: String,
        /// TENANT/PROJECT
        project: ProjectPath,
        /// Name of the app; the item's slug where it is left out
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// The version; the newest where it is left out
        #[arg(long, value_name = "VERSION")]
        version: Option<String>,
        /// YAML or JSON that is merged over the item's source
        #[arg(long, value_name = "FILE")]
        overrides: Option<PathBuf>,
    },
    /// Delete an item that no app refers to
    Delete {
        /// Its slug
        slug: String,
        /// Even so
        #[arg(long)]
        force: bool,
    },
}

/// Runs it.
///
/// # Errors
/// See [`super::run`].
pub fn run(args: Args) -> anyhow::Result<Exit> {
    with(&args.api, |client| {
        let item = |slug: &str| url(&["catalog", slug]);
        match args.what {
            What::List { category, query } => {
                let given = [("category", category), ("q", query)];
                let words = given
                    .iter()
                    .filter_map(|(key, word)| Some(format!("{key}={}", escape(word.as_deref()?))));
                let query = words.collect::<Vec<_>>().join("&");
                let mark = if query.is_empty() { "" } else { "?" };
                show::list(client, &COLUMNS, &client.list(&format!("{}{mark}{query}", url(&["catalog"])))?)?;
            }
            What::Get { slug } => show::one(client, &client.get(&item(&slug))?)?,
            What::Versions { slug } => {
                show::list(client, &VERSIONS, &client.list(&url(&["catalog", &slug, "versions"]))?)?;
            }
            What::Publish { file } => publish(client, &apply::document(&file)?)?,
            What::Install { slug, project, name, version, overrides } => {
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
                    200 => format!("app {app} already is {slug} {version}"),
                    _ => format!("app {app} is {slug} {version}: namespace {namespace}"),
                };
                show::done(client, &sentence, &done.body)?;
            }
            What::Delete { slug, force } => {
                let path = format!("{}{}", item(&slug), if force { "?force=true" } else { "" });
                let gone = client.send(&Method::DELETE, &path, None, None)?.body;
                show::done(client, &format!("{slug} is deleted"), &gone)?;
            }
        }
        Ok(Exit::Fine)
    })
}

/// A new item, or a new version of one that is there.
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
    show::done(client, &format!("{slug} {version} is published"), &made.body)
}
