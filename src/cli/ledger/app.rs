//! `portcullis app`: what runs in an app namespace of its own.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Value as Json, json};
use ureq::http::Method;

use super::path::{ProjectPath, UnitPath};
use super::{ApiArgs, Exit, apply, run as with, show};

const COLUMNS: [show::Column; 6] = [
    ("name", "name|slug"),
    ("namespace", "namespace"),
    ("source", "sourceKind"),
    ("version", "catalogVersion"),
    ("revision", "currentRevision|revision"),
    ("state", "state"),
];
const REVISIONS: [show::Column; 4] =
    [("revision", "revision"), ("version", "catalogVersion"), ("by", "actor"), ("at", "createdAt")];

/// Words of `portcullis app`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    api: ApiArgs,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List a project's apps
    List {
        /// TENANT/PROJECT
        project: ProjectPath,
    },
    /// Show an app
    Get {
        /// TENANT/PROJECT/APP
        app: UnitPath,
    },
    /// Make an app
    Create {
        /// TENANT/PROJECT/APP; letters, digits and inner hyphens, at most 20
        app: UnitPath,
        /// Run this image
        #[arg(long, value_name = "IMAGE", conflicts_with = "file")]
        image: Option<String>,
        /// YAML or JSON with the app's `spec`: its source and, where it has them, components, traits and policies
        #[arg(long, short, value_name = "FILE", required_unless_present = "image")]
        file: Option<PathBuf>,
    },
    /// List an app's revisions
    Revisions {
        /// TENANT/PROJECT/APP
        app: UnitPath,
    },
    /// Show what differs between two revisions
    Diff {
        /// TENANT/PROJECT/APP
        app: UnitPath,
        /// From this revision
        from: u32,
        /// To this one
        to: u32,
    },
    /// Make an earlier revision the newest
    Rollback {
        /// TENANT/PROJECT/APP
        app: UnitPath,
        /// The revision
        to: u32,
    },
    /// Delete an app and its namespace
    Delete {
        /// TENANT/PROJECT/APP
        app: UnitPath,
    },
}

/// Runs it.
///
/// # Errors
/// See [`super::run`].
pub fn run(args: Args) -> anyhow::Result<Exit> {
    with(&args.api, |client| {
        let at = |app: &UnitPath, more: &[&str]| {
            let mut parts = vec!["apps", app.name.as_str()];
            parts.extend(more);
            client.project(&app.project, &parts)
        };
        match args.what {
            What::List { project } => {
                show::list(client, &COLUMNS, &client.list(&client.project(&project, &["apps"]))?)?;
            }
            What::Get { app } => show::one(client, &client.get(&at(&app, &[]))?)?,
            What::Create { app, image, file } => {
                let mut body = match file {
                    Some(file) => apply::document(&file)?,
                    None => json!({"spec": {"source": {"containerImage": {"image": image}}}}),
                };
                if let Some(fields) = body.as_object_mut() {
                    fields.insert("name".into(), app.name.clone().into());
                }
                let made = client.send(
                    &Method::POST,
                    &client.project(&app.project, &["apps"]),
                    Some(&body),
                    None,
                )?;
                let namespace = show::cell(&made.body, "namespace");
                show::done(client, &format!("app {} is made: namespace {namespace}", app.name), &made.body)?;
            }
            What::Revisions { app } => {
                show::list(client, &REVISIONS, &client.list(&at(&app, &["revisions"]))?)?
            }
            What::Diff { app, from, to } => {
                show::one(client, &client.get(&at(&app, &["diff", &from.to_string(), &to.to_string()]))?)?;
            }
            What::Rollback { app, to } => {
                let path = client.project(&app.project, &["apps", &format!("{}:rollback", app.name)]);
                let now = client.send(&Method::POST, &path, Some(&json!({"toRevision": to})), None)?.body;
                let revision = show::cell(&now, "currentRevision|revision");
                show::done(
                    client,
                    &format!("app {} is as it was in revision {to}, now {revision}", app.name),
                    &now,
                )?;
            }
            What::Delete { app } => {
                let gone: Json = client.send(&Method::DELETE, &at(&app, &[]), None, None)?.body;
                show::done(client, &format!("app {} is deleted", app.name), &gone)?;
            }
        }
        Ok(Exit::Fine)
    })
}
