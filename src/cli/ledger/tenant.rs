//! `portcullis tenant`: who shares the cluster, and what each may run.

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

/// Words of `portcullis tenant`.
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
    /// List the tenants of the cluster
    List {
        /// Only those with these labels, as kubectl selects: `env=prod,team in (a,b)`
        #[arg(long, short = 'l', value_name = "SELECTOR")]
        selector: Option<String>,
    },
    /// Show a tenant
    Get {
        /// Its name or id
        name: String,
    },
    /// What a tenant has: namespaces, quotas, plan
    Summary {
        /// Its name or id
        name: String,
    },
    /// Make a tenant
    Create {
        /// Its name: a lower-case letter, then letters and digits, at most 20
        name: String,
        #[command(flatten)]
        fields: Fields,
        /// Its owner, once for each
        #[arg(long = "owner", value_name = "SUBJECT")]
        owners: Vec<String>,
        /// Its plan
        #[arg(long, value_name = "PLAN")]
        plan: Option<String>,
    },
    /// Change a tenant
    Set {
        /// Its name or id
        name: String,
        #[command(flatten)]
        fields: Fields,
        /// What its owner narrows the registries to; `none` takes the narrowing away
        #[arg(long, value_name = "LIST")]
        narrowed_registries: Option<String>,
    },
    /// Deny its writes; deletes and controllers pass
    Suspend {
        /// Its name or id
        name: String,
    },
    /// End a suspension
    Resume {
        /// Its name or id
        name: String,
    },
    /// Delete a tenant that holds nothing
    Delete {
        /// Its name or id
        name: String,
        /// With all that is in it
        #[arg(long)]
        cascade: bool,
    },
    /// Who belongs to a tenant, and as what
    Member {
        /// The tenant's name or id
        name: String,
        #[command(subcommand)]
        what: Member,
    },
}

#[derive(Debug, clap::Args)]
struct Fields {
    /// What people call it
    #[arg(long, value_name = "TEXT")]
    display_name: Option<String>,
    /// Where its images may come from: a list, `inherit` for the whole ceiling, or `none` for no policy, which denies all
    #[arg(long, value_name = "LIST")]
    registries: Option<String>,
    /// A label, once for each
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
}

#[derive(Debug, Subcommand)]
enum Member {
    /// List them
    List,
    /// Add a member, or change its role
    Add {
        /// Who: `issuer#sub`, or a subject of the ledger's own tokens
        subject: String,
        /// tenantOwner, projectDev or readOnly
        role: String,
        /// A project it is limited to, once for each
        #[arg(long = "project", value_name = "PROJECT")]
        projects: Vec<String>,
    },
    /// Take a member out
    Remove {
        /// Who
        subject: String,
    },
}

fn label(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').ok_or_else(|| format!("`{text}` is not of the form KEY=VALUE"))?;
    Ok((pair.0.to_owned(), pair.1.to_owned()))
}

/// A list of the command line: `a,b`, the word `inherit`, or `none`.
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

/// Runs it.
///
/// # Errors
/// See [`super::run`].
pub fn run(args: Args) -> anyhow::Result<Exit> {
    with(&args.api, |client| {
        match args.what {
            What::List { selector } => {
                let query = selector.map(|text| format!("?labelSelector={}", super::path::escape(&text)));
                let path = format!("{}{}", client.cluster(&["tenants"]), query.unwrap_or_default());
                show::list(client, &COLUMNS, &client.list(&path)?)?;
            }
            What::Get { name } => show::one(client, &client.get(&client.tenant(&name, &[]))?)?,
            What::Summary { name } => show::one(client, &client.get(&client.tenant(&name, &["summary"]))?)?,
            What::Create { name, fields, owners, plan } => {
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
                show::done(client, &format!("tenant {name} is made"), &made)?;
            }
            What::Set { name, fields, narrowed_registries } => {
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
                show::done(client, &format!("tenant {name} is changed"), &now)?;
            }
            What::Suspend { name } => verb(client, &name, "suspend", "suspended: its writes are denied")?,
            What::Resume { name } => verb(client, &name, "resume", "active again")?,
            What::Delete { name, cascade } => {
                let query = if cascade { "?cascade=true" } else { "" };
                let path = format!("{}{query}", client.tenant(&name, &[]));
                let gone = client.send(&Method::DELETE, &path, None, None)?.body;
                show::done(client, &format!("tenant {name} is deleted"), &gone)?;
            }
            What::Member { name, what } => member(client, &name, what)?,
        }
        Ok(Exit::Fine)
    })
}

fn verb(client: &Client, name: &str, verb: &str, then: &str) -> anyhow::Result<()> {
    let path = client.tenant(&format!("{name}:{verb}"), &[]);
    let now = client.send(&Method::POST, &path, None, None)?.body;
    show::done(client, &format!("tenant {name} is {then}"), &now)
}

fn member(client: &Client, tenant: &str, what: Member) -> anyhow::Result<()> {
    match what {
        Member::List => show::list(client, &MEMBERS, &client.list(&client.tenant(tenant, &["members"]))?),
        Member::Add { subject, role, projects } => {
            let mut body = json!({"role": role});
            if let Some(fields) = body.as_object_mut().filter(|_| !projects.is_empty()) {
                fields.insert("projects".into(), projects.into());
            }
            let path = client.tenant(tenant, &["members", &subject]);
            let now = client.send(&Method::PUT, &path, Some(&body), None)?.body;
            show::done(client, &format!("{subject} is {role} of {tenant}"), &now)
        }
        Member::Remove { subject } => {
            let path = client.tenant(tenant, &["members", &subject]);
            let gone = client.send(&Method::DELETE, &path, None, None)?.body;
            show::done(client, &format!("{subject} is no member of {tenant} any more"), &gone)
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
