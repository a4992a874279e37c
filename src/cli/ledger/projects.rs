//! `portcullis project`, `portcullis app` and `portcullis sandbox`: the projects of a tenant and what runs in them.

use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;
use serde_json::{Map, Value as Json, json};
use ureq::http::Method;

use super::path::{ProjectPath, UnitPath};
use super::{ApiArgs, Exit, apply, run as with, show};
use portcullis_server::args::Span;

const PROJECT_COLUMNS: [show::Column; 4] =
    [("name", "name|slug"), ("display name", "displayName"), ("labels", "labels"), ("id", "id")];

#[derive(Debug, clap::Args)]
pub struct ProjectArgs {
    #[command(flatten)]
    api: ApiArgs,
    #[command(subcommand)]
    command: ProjectCommand,
}

#[derive(Debug, Subcommand)]
enum ProjectCommand {
    /// List the projects of a tenant
    List {
        /// Tenant
        tenant: String,
    },
    /// Show a project
    Get {
        /// TENANT/PROJECT
        project: ProjectPath,
    },
    /// Create a project
    Create {
        /// TENANT/PROJECT; letters, digits and inner hyphens, without the tokens `app` and `sbx`, at most 20
        project: ProjectPath,
    },
    /// Delete an empty project
    Delete {
        /// TENANT/PROJECT
        project: ProjectPath,
    },
}

pub fn project(args: ProjectArgs) -> anyhow::Result<Exit> {
    with(&args.api, |client| {
        match args.command {
            ProjectCommand::List { tenant } => {
                show::list(client, &PROJECT_COLUMNS, &client.list(&client.tenant(&tenant, &["projects"]))?)?;
            }
            ProjectCommand::Get { project } => {
                show::one(client, &client.get(&client.project(&project, &[]))?)?
            }
            ProjectCommand::Create { project } => {
                let path = client.tenant(&project.tenant, &["projects"]);
                let body = json!({"name": project.project});
                let made = client.send(&Method::POST, &path, Some(&body), None)?.body;
                show::done(
                    client,
                    &format!("project/{}/{} created", project.tenant, project.project),
                    &made,
                )?;
            }
            ProjectCommand::Delete { project } => {
                let gone = client.send(&Method::DELETE, &client.project(&project, &[]), None, None)?.body;
                show::done(
                    client,
                    &format!("project/{}/{} deleted", project.tenant, project.project),
                    &gone,
                )?;
            }
        }
        Ok(Exit::Ok)
    })
}

const APP_COLUMNS: [show::Column; 6] = [
    ("name", "name|slug"),
    ("namespace", "namespace"),
    ("source", "sourceKind"),
    ("version", "catalogVersion"),
    ("revision", "currentRevision|revision"),
    ("state", "state"),
];
const REVISION_COLUMNS: [show::Column; 4] =
    [("revision", "revision"), ("version", "catalogVersion"), ("by", "actor"), ("at", "createdAt")];

#[derive(Debug, clap::Args)]
pub struct AppArgs {
    #[command(flatten)]
    api: ApiArgs,
    #[command(subcommand)]
    command: AppCommand,
}

#[derive(Debug, Subcommand)]
enum AppCommand {
    /// List the apps of a project
    List {
        /// TENANT/PROJECT
        project: ProjectPath,
    },
    /// Show an app
    Get {
        /// TENANT/PROJECT/APP
        app: UnitPath,
    },
    /// Create an app
    Create {
        /// TENANT/PROJECT/APP; letters, digits and inner hyphens, at most 20
        app: UnitPath,
        /// Image to run
        #[arg(long, value_name = "IMAGE", conflicts_with = "file")]
        image: Option<String>,
        /// YAML or JSON file with the app's `spec`: its source and, optionally, components, traits and policies
        #[arg(long, short, value_name = "FILE", required_unless_present = "image")]
        file: Option<PathBuf>,
    },
    /// List the revisions of an app
    Revisions {
        /// TENANT/PROJECT/APP
        app: UnitPath,
    },
    /// Show the difference between two revisions
    Diff {
        /// TENANT/PROJECT/APP
        app: UnitPath,
        /// Old revision
        from: u32,
        /// New revision
        to: u32,
    },
    /// Create a new revision with the content of an earlier one
    Rollback {
        /// TENANT/PROJECT/APP
        app: UnitPath,
        /// Earlier revision
        to: u32,
    },
    /// Delete an app and its namespace
    Delete {
        /// TENANT/PROJECT/APP
        app: UnitPath,
    },
}

pub fn app(args: AppArgs) -> anyhow::Result<Exit> {
    with(&args.api, |client| {
        let at = |app: &UnitPath, more: &[&str]| {
            let mut parts = vec!["apps", app.name.as_str()];
            parts.extend(more);
            client.project(&app.project, &parts)
        };
        match args.command {
            AppCommand::List { project } => {
                show::list(client, &APP_COLUMNS, &client.list(&client.project(&project, &["apps"]))?)?;
            }
            AppCommand::Get { app } => show::one(client, &client.get(&at(&app, &[]))?)?,
            AppCommand::Create { app, image, file } => {
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
                show::done(
                    client,
                    &format!("app/{} created in namespace {namespace}", app.name),
                    &made.body,
                )?;
            }
            AppCommand::Revisions { app } => {
                show::list(client, &REVISION_COLUMNS, &client.list(&at(&app, &["revisions"]))?)?
            }
            AppCommand::Diff { app, from, to } => {
                show::one(client, &client.get(&at(&app, &["diff", &from.to_string(), &to.to_string()]))?)?;
            }
            AppCommand::Rollback { app, to } => {
                let path = client.project(&app.project, &["apps", &format!("{}:rollback", app.name)]);
                let now = client.send(&Method::POST, &path, Some(&json!({"toRevision": to})), None)?.body;
                let revision = show::cell(&now, "currentRevision|revision");
                show::done(
                    client,
                    &format!("app/{} rolled back to revision {to} as revision {revision}", app.name),
                    &now,
                )?;
            }
            AppCommand::Delete { app } => {
                let gone: Json = client.send(&Method::DELETE, &at(&app, &[]), None, None)?.body;
                show::done(client, &format!("app/{} deleted", app.name), &gone)?;
            }
        }
        Ok(Exit::Ok)
    })
}

const SANDBOX_COLUMNS: [show::Column; 5] = [
    ("name", "name"),
    ("namespace", "namespace"),
    ("display name", "displayName"),
    ("expires", "expiresAt"),
    ("id", "id"),
];

#[derive(Debug, clap::Args)]
pub struct SandboxArgs {
    #[command(flatten)]
    api: ApiArgs,
    #[command(subcommand)]
    command: SandboxCommand,
}

#[derive(Debug, Subcommand)]
enum SandboxCommand {
    /// List the sandboxes of a project
    List {
        /// TENANT/PROJECT
        project: ProjectPath,
    },
    /// Show a sandbox
    Get {
        /// TENANT/PROJECT/sbx-NNN
        sandbox: UnitPath,
    },
    /// Create a sandbox with the lowest free number
    Create {
        /// TENANT/PROJECT
        project: ProjectPath,
        /// Display name
        #[arg(long, value_name = "TEXT")]
        display_name: Option<String>,
        /// Lifetime: 2h, 90m
        #[arg(long, value_name = "TIME")]
        ttl: Option<Span>,
    },
    /// Delete a sandbox
    Delete {
        /// TENANT/PROJECT/sbx-NNN
        sandbox: UnitPath,
    },
}

pub fn sandbox(args: SandboxArgs) -> anyhow::Result<Exit> {
    with(&args.api, |client| {
        match args.command {
            SandboxCommand::List { project } => {
                show::list(
                    client,
                    &SANDBOX_COLUMNS,
                    &client.list(&client.project(&project, &["sandboxes"]))?,
                )?;
            }
            SandboxCommand::Get { sandbox } => {
                let path = client.project(&sandbox.project, &["sandboxes", &sandbox.name]);
                show::one(client, &client.get(&path)?)?;
            }
            SandboxCommand::Create { project, display_name, ttl } => {
                let mut body: Map<String, Json> = Map::new();
                body.extend(display_name.map(|name| ("displayName".to_owned(), Json::from(name))));
                body.extend(ttl.map(|Span(ttl): Span| ("ttlSeconds".to_owned(), seconds(ttl))));
                let path = client.project(&project, &["sandboxes"]);
                let made = client.send(&Method::POST, &path, Some(&body.into()), None)?.body;
                let (name, namespace) = (show::cell(&made, "name"), show::cell(&made, "namespace"));
                show::done(client, &format!("sandbox/{name} created in namespace {namespace}"), &made)?;
            }
            SandboxCommand::Delete { sandbox } => {
                let path = client.project(&sandbox.project, &["sandboxes", &sandbox.name]);
                let gone = client.send(&Method::DELETE, &path, None, None)?.body;
                show::done(client, &format!("sandbox/{} deleted", sandbox.name), &gone)?;
            }
        }
        Ok(Exit::Ok)
    })
}

fn seconds(ttl: Duration) -> Json {
    ttl.as_secs().into()
}
