//! `portcullis token new`: a token from whoever holds the keys.

use super::{Exit, Place, output, time};
use portcullis_access::keys::Keys;
use portcullis_access::mint::{Wish, grant};
use portcullis_access::token::{Claims, now};
use portcullis_access::{Action, Clusters, Identity, Role, TenantRef, authorize};
use portcullis_server::units::Span;
use portcullis_tenancy::is_uuid;

const EXAMPLES: &str = "\
Examples:
  portcullis token new --subject me --role admin
  portcullis token new --subject gate-1 --role service --ttl 720h \\
      --cluster-id 0190a0a0-0000-7000-8000-0000000000c1
  portcullis token new --subject ci --role projectDev --ttl 8h \\
      --tenant acme --tenant-id 0190a0a0-0000-7000-8000-000000000001 \\
      --project 0190a0a0-0000-7000-8000-00000000000a

Nothing but the token goes to standard output.";

/// Words of `portcullis token new`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Whom it is about
    #[arg(long, value_name = "NAME")]
    subject: String,

    /// What that is: admin, tenantOwner, projectDev, readOnly, or service, which is a gate
    #[arg(long, value_name = "ROLE")]
    role: Role,

    /// In which tenant, by slug
    #[arg(long, value_name = "SLUG", requires = "tenant_id")]
    tenant: Option<String>,

    /// The same tenant's id
    #[arg(long, value_name = "UUID", requires = "tenant")]
    tenant_id: Option<String>,

    /// Id of a project to which it is limited; may be repeated. Without it, all of the tenant's
    #[arg(long = "project", value_name = "UUID")]
    projects: Vec<String>,

    /// Id of the cluster of a gate, whose part of the snapshot it reads; the role service needs it
    #[arg(long, value_name = "UUID", conflicts_with = "all_clusters")]
    cluster_id: Option<String>,

    /// A gate that reads the snapshot of every cluster, instead of `--cluster-id`
    #[arg(long)]
    all_clusters: bool,

    /// How long it lives: 1m to 720h
    #[arg(long, value_name = "TIME", default_value = "1h")]
    ttl: Span,
}

/// Mints it.
///
/// # Errors
/// Nobody may have such a token, or there is nothing to sign it with.
pub fn run(args: Args, place: &Place) -> anyhow::Result<Exit> {
    let Args { subject, role, tenant, tenant_id, projects, cluster_id, all_clusters, ttl } = args;
    if role == Role::Service && cluster_id.is_none() && !all_clusters {
        anyhow::bail!(
            "a gate's token is for one cluster: give --cluster-id UUID (`portcullis cluster get NAME` shows it), or --all-clusters"
        );
    }
    if let Some(id) = cluster_id.as_deref().filter(|id| !is_uuid(id)) {
        anyhow::bail!(
            "--cluster-id `{id}` is not a UUID in lower case; `portcullis cluster get NAME` shows it"
        );
    }
    let wish = Wish {
        subject,
        roles: vec![role],
        tenant: tenant.zip(tenant_id).map(|(slug, id)| TenantRef { id, slug }),
        projects: (!projects.is_empty()).then_some(projects),
        clusters: if all_clusters { Some(Clusters::All) } else { cluster_id.map(Clusters::One) },
        ttl_seconds: i64::try_from(ttl.0.as_secs()).unwrap_or(i64::MAX),
    };
    // The holder of the keys acts as the server itself, and the token says so.
    let scope = authorize(&Identity::process("token"), Action::TokensMint, None, "portcullis token new")?;
    let granted = grant(&scope, wish, None)?;
    let (keys, made) = Keys::open_or_make(&place.dir()?)?;
    if let Some(path) = made {
        output::note(format!("made the first key, {}", path.display()));
    }
    let issued = place.tokens(keys)?.issue(&granted, now())?;
    output::note(told(&issued.claims));
    output::print(&format!("{}\n", issued.token))?;
    Ok(Exit::Fine)
}

fn told(claims: &Claims) -> String {
    let Claims { iss, sub, exp, jti, .. } = claims;
    let roles: Vec<&str> = claims.roles.iter().map(|role| role.as_str()).collect();
    let tenant = claims.tenant_slug.as_ref().map(|slug| format!(" of {slug}")).unwrap_or_default();
    format!("{iss}#{sub}, {}{tenant}, until {}, jti {jti}", roles.join(", "), time(*exp))
}
