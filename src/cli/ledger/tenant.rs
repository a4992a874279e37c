//! `portcullis tenant`: manages tenants and their members.

use clap::Subcommand;
use serde_json::{Map, Value as Json, json};
use ureq::http::Method;

use super::client::Client;
use super::{ApiArgs, Exit, run as with, show};

const COLUMNS: [show::Column; 6] = [
    ("name", "name|slug"),
    ("status", "status"),
    ("plan", "plan"),
    ("registries", "registries"),
    ("narrowed to", "narrowedRegistries"),
    ("id", "id"),
];
const MEMBERS: [show::Column; 3] = [("subject", "subject"), ("role", "role"), ("projects", "projects")];

const EXAMPLES: &str = "\
Examples:
  portcullis tenant create acme --registries inherit
  portcullis tenant set acme --registries registry.example.com/acme,docker.io/library
  portcullis tenant suspend acme              its writes are denied within 100 ms
  portcullis tenant member acme add alice tenantOwner";

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
    /// List tenants
    List {
        /// Only tenants with these labels, as in kubectl: `env=prod,team in (a,b)`
        #[arg(long, short = 'l', value_name = "SELECTOR")]
        selector: Option<String>,
    },
    /// Show a tenant
    Get {
        /// Name or id of the tenant
        name: String,
    },
    /// Show namespaces, quotas and plan of a tenant
    Summary {
        /// Name or id of the tenant
        name: String,
    },
    /// Create a tenant
    Create {
        /// Name: a lower-case letter, then letters and digits, at most 20
        name: String,
        #[command(flatten)]
        fields: Fields,
        /// Owner; may be repeated
        #[arg(long = "owner", value_name = "SUBJECT")]
        owners: Vec<String>,
        /// Plan
        #[arg(long, value_name = "PLAN")]
        plan: Option<String>,
    },
    /// Update a tenant
    Set {
        /// Name or id of the tenant
        name: String,
        #[command(flatten)]
        fields: Fields,
        /// Registries to which the owner narrows the tenant; `none` removes the narrowing
        #[arg(long, value_name = "LIST")]
        narrowed_registries: Option<String>,
    },
    /// Suspend a tenant: its writes are denied, deletes and controllers are allowed
    Suspend {
        /// Name or id of the tenant
        name: String,
    },
    /// Resume a suspended tenant
    Resume {
        /// Name or id of the tenant
        name: String,
    },
    /// Delete an empty tenant
    Delete {
        /// Name or id of the tenant
        name: String,
        /// Delete its projects, apps and sandboxes too
        #[arg(long)]
        cascade: bool,
    },
    /// Manage the members of a tenant
    Member {
        /// Name or id of the tenant
        name: String,
        #[command(subcommand)]
        command: MemberCommand,
    },
}

#[derive(Debug, clap::Args)]
struct Fields {
    /// Display name
    #[arg(long, value_name = "TEXT")]
    display_name: Option<String>,
    /// Allowed registries: a list, `inherit` for the whole ceiling, or `none` for no policy, which denies all images
    #[arg(long, value_name = "LIST")]
    registries: Option<String>,
    /// Label; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
}

#[derive(Debug, Subcommand)]
enum MemberCommand {
    /// List members
    List,
    /// Add a member, or change its role
    Add {
        /// Subject: `issuer#sub`, or a subject of the ledger's own tokens
        subject: String,
        /// Role: tenantOwner, projectDev or readOnly
        role: String,
        /// Project that the member is limited to; may be repeated
        #[arg(long = "project", value_name = "PROJECT")]
        projects: Vec<String>,
    },
    /// Remove a member
    Remove {
        /// Subject of the member
        subject: String,
    },
}

fn label(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').ok_or_else(|| format!("`{text}` is not of the form KEY=VALUE"))?;
    Ok((pair.0.to_owned(), pair.1.to_owned()))
}

/// `a,b`, `inherit`, or `none`.
pub fn registries(text: &str) -> Json {
    match text {
        "inherit" => json!("inherit"),
        "none" => Json::Null,
        "" => json!([]),
        list => list.split(',').map(|entry| Json::from(entry.trim())).collect(),
    }
}

impl Fields {
    fn body(self) -> Map<String, Json> {
        let mut body = Map::new();
        if let Some(name) = self.display_name {
            body.insert("displayName".into(), name.into());
        }
        if let Some(text) = self.registries {
            body.insert("registries".into(), registries(&text));
        }
        if !self.labels.is_empty() {
            let labels: Map<String, Json> =
                self.labels.into_iter().map(|(key, value)| (key, value.into())).collect();
            body.insert("labels".into(), labels.into());
        }
        body
    }
}

pub fn run(args: Args) -> anyhow::Result<Exit> {
    with(&args.api, |client| {
        match args.command {
            Command::List { selector } => {
                let query = selector.map(|text| format!("?labelSelector={}", super::path::escape(&text)));
                let path = format!("{}{}", client.cluster(&["tenants"]), query.unwrap_or_default());
                show::list(client, &COLUMNS, &client.list(&path)?)?;
            }
            Command::Get { name } => show::one(client, &client.get(&client.tenant(&name, &[]))?)?,
            Command::Summary { name } => {
                show::one(client, &client.get(&client.tenant(&name, &["summary"]))?)?
            }
            Command::Create { name, fields, owners, plan } => {
                let mut body = fields.body();
                body.insert("name".into(), name.clone().into());
                if !owners.is_empty() {
                    body.insert("owners".into(), owners.into());
                }
                if let Some(plan) = plan {
                    body.insert("plan".into(), plan.into());
                }
                let path = client.cluster(&["tenants"]);
                let made = client.send(&Method::POST, &path, Some(&body.into()), None)?.body;
                show::done(client, &format!("tenant/{name} created"), &made)?;
            }
            Command::Set { name, fields, narrowed_registries } => {
                let mut body = fields.body();
                if let Some(text) = narrowed_registries {
                    body.insert("narrowedRegistries".into(), registries(&text));
                }
                anyhow::ensure!(
                    !body.is_empty(),
                    "nothing to change; name a field, for example --registries inherit"
                );
                let path = client.tenant(&name, &[]);
                let now = client.send(&Method::PATCH, &path, Some(&body.into()), None)?.body;
                show::done(client, &format!("tenant/{name} updated"), &now)?;
            }
            Command::Suspend { name } => verb(client, &name, "suspend", "suspended: its writes are denied")?,
            Command::Resume { name } => verb(client, &name, "resume", "resumed")?,
            Command::Delete { name, cascade } => {
                let query = if cascade { "?cascade=true" } else { "" };
                let path = format!("{}{query}", client.tenant(&name, &[]));
                let gone = client.send(&Method::DELETE, &path, None, None)?.body;
                show::done(client, &format!("tenant/{name} deleted"), &gone)?;
            }
            Command::Member { name, command } => member(client, &name, command)?,
        }
        Ok(Exit::Ok)
    })
}

fn verb(client: &Client, name: &str, verb: &str, then: &str) -> anyhow::Result<()> {
    let path = client.tenant(&format!("{name}:{verb}"), &[]);
    let now = client.send(&Method::POST, &path, None, None)?.body;
    show::done(client, &format!("tenant/{name} {then}"), &now)
}

fn member(client: &Client, tenant: &str, command: MemberCommand) -> anyhow::Result<()> {
    match command {
        MemberCommand::List => {
            show::list(client, &MEMBERS, &client.list(&client.tenant(tenant, &["members"]))?)
        }
        MemberCommand::Add { subject, role, projects } => {
            let mut body = json!({"role": role});
            if let Some(fields) = body.as_object_mut().filter(|_| !projects.is_empty()) {
                fields.insert("projects".into(), projects.into());
            }
            let path = client.tenant(tenant, &["members", &subject]);
            let now = client.send(&Method::PUT, &path, Some(&body), None)?.body;
            show::done(client, &format!("tenant/{tenant} updated: {subject} is {role}"), &now)
        }
        MemberCommand::Remove { subject } => {
            let path = client.tenant(tenant, &["members", &subject]);
            let gone = client.send(&Method::DELETE, &path, None, None)?.body;
            show::done(client, &format!("tenant/{tenant} updated: {subject} is no longer a member"), &gone)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_are_a_list_or_a_word() {
        assert_eq!(registries("inherit"), json!("inherit"));
        assert_eq!(registries("none"), Json::Null);
        assert_eq!(registries("a.io, b.io/x"), json!(["a.io", "b.io/x"]));
        assert_eq!(registries(""), json!([]));
    }
}
