//! `portcullis project`: what a tenant's apps and sandboxes stand in.

use clap::Subcommand;
use serde_json::json;
use ureq::http::Method;

use super::path::ProjectPath;
use super::{ApiArgs, Exit, run as with, show};

const COLUMNS: [show::Column; 4] =
    [("name", "name|slug"), ("display name", "displayName"), ("labels", "labels"), ("id", "id")];

/// Words of `portcullis project`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    api: ApiArgs,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List a tenant's projects
    List {
        /// The tenant
        tenant: String,
    },
    /// Show a project
    Get {
        /// TENANT/PROJECT
        project: ProjectPath,
    },
    /// Make a project
    Create {
        /// TENANT/PROJECT; letters, digits and inner hyphens, without the tokens `app` and `sbx`, at most 20
        project: ProjectPath,
    },
    /// Delete a project that holds nothing
    Delete {
        /// TENANT/PROJECT
        project: ProjectPath,
    },
}

/// Runs it.
///
/// # Errors
/// See [`super::run`].
pub fn run(args: Args) -> anyhow::Result<Exit> {
    with(&args.api, |client| {
        match args.what {
            What::List { tenant } => {
                show::list(client, &COLUMNS, &client.list(&client.tenant(&tenant, &["projects"]))?)?;
            }
            What::Get { project } => show::one(client, &client.get(&client.project(&project, &[]))?)?,
            What::Create { project } => {
                let path = client.tenant(&project.tenant, &["projects"]);
                let body = json!({"name": project.project});
                let made = client.send(&Method::POST, &path, Some(&body), None)?.body;
                show::done(
                    client,
                    &format!("project {}/{} is made", project.tenant, project.project),
                    &made,
                )?;
            }
            What::Delete { project } => {
                let gone = client.send(&Method::DELETE, &client.project(&project, &[]), None, None)?.body;
                show::done(
                    client,
                    &format!("project {}/{} is deleted", project.tenant, project.project),
                    &gone,
                )?;
            }
        }
        Ok(Exit::Fine)
    })
}
