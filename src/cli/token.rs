//! `portcullis token`: mints the first token, shows what a token contains, and manages the keys that sign tokens.
//!
//! Anyone who can read the keys can mint any token, so these commands need no permission. Other tokens are minted through the
//! API, which authorizes the caller and records the token.

use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Subcommand;
use serde_json::json;

use super::Exit;
use super::ledger::{ApiArgs, path, run as with, show as show_list};
use super::output::{self, BAD, GOOD, TextOrJson};
use portcullis_access::keys::{Key, KeySet, Keys, SETTLE_SECONDS, create, default_dir};
use portcullis_access::mint::{TokenRequest, grant};
use portcullis_access::token::{
    AUDIENCE, Claims, ISSUER, LIFETIME_SECONDS_MAX, Names, TokenError, Tokens, now,
};
use portcullis_access::{Action, Clusters, Identity, Role, TenantRef, authorize};
use portcullis_server::args::Span;
use portcullis_tenancy::is_uuid;

const EXAMPLES: &str = "\
Examples:
  portcullis token new --subject me --role admin > token            the first token, valid for an hour
  portcullis token new --subject gate-1 --role service --cluster-id UUID   for the gate of a cluster
  portcullis token show token                                       show its claims, and whether it is valid
  portcullis token list                                             tokens that the ledger's API has minted
  portcullis token keys rotate                                      create a key, which signs after a minute

These commands need the signing keys. Without them, mint tokens through the API: POST /api/v1/tokens.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    key_args: KeyArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Mint a token and print it
    New(NewArgs),
    /// Show the claims of a token, and whether it is valid
    Show(ShowArgs),
    /// List the tokens that the ledger's API has minted and that have not expired
    List(ListArgs),
    /// List or rotate the keys that sign tokens
    Keys(KeysArgs),
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Keys")]
struct KeyArgs {
    /// Directory of the signing keys, as in the server's `--token-keys`; by default in the user's data folder
    #[arg(long = "keys", global = true, value_name = "DIR", env = "PORTCULLIS_TOKEN_KEYS")]
    dir: Option<PathBuf>,

    /// Issuer, as in the server's `--token-issuer`
    #[arg(long, global = true, value_name = "NAME", env = "PORTCULLIS_TOKEN_ISSUER", default_value = ISSUER)]
    issuer: String,

    /// Audience, as in the server's `--token-audience`
    #[arg(long, global = true, value_name = "NAME", env = "PORTCULLIS_TOKEN_AUDIENCE", default_value = AUDIENCE)]
    audience: String,
}

impl KeyArgs {
    fn dir(&self) -> anyhow::Result<PathBuf> {
        Ok(self.dir.clone().map_or_else(default_dir, Ok)?)
    }

    fn tokens(&self, keys: Keys) -> anyhow::Result<Tokens> {
        let names = Names::new(&self.issuer, &self.audience)?;
        Ok(Tokens::new(Arc::new(keys), names))
    }
}

pub fn run(args: Args) -> anyhow::Result<Exit> {
    let Args { key_args, command } = args;
    match command {
        Command::New(args) => mint(args, &key_args),
        Command::Show(args) => show(&args, &key_args),
        Command::List(args) => list(&args.api),
        Command::Keys(args) => keys(&args, &key_args),
    }
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    api: ApiArgs,
}

const COLUMNS: [show_list::Column; 6] = [
    ("jti", "jti"),
    ("subject", "subject"),
    ("roles", "roles"),
    ("minted by", "mintedBy"),
    ("expires", "expiresAt"),
    ("revoked", "revoked"),
];

/// The ledger does not know tokens that `portcullis token new` has minted.
fn list(api: &ApiArgs) -> anyhow::Result<Exit> {
    with(api, |client| {
        show_list::list(client, &COLUMNS, &client.list(&path::url(&["tokens"]))?)?;
        Ok(Exit::Ok)
    })
}

fn time(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| "?".to_owned(), |time| time.to_string())
}

const NEW_EXAMPLES: &str = "\
Examples:
  portcullis token new --subject me --role admin
  portcullis token new --subject gate-1 --role service --ttl 720h \\
      --cluster-id 0190a0a0-0000-7000-8000-0000000000c1
  portcullis token new --subject ci --role projectDev --ttl 8h \\
      --tenant acme --tenant-id 0190a0a0-0000-7000-8000-000000000001 \\
      --project 0190a0a0-0000-7000-8000-00000000000a

Only the token is written to standard output.";

#[derive(Debug, clap::Args)]
#[command(after_help = NEW_EXAMPLES)]
pub struct NewArgs {
    /// Subject of the token
    #[arg(long, value_name = "NAME")]
    subject: String,

    /// Role: admin, tenantOwner, projectDev, readOnly, or service for a gate
    #[arg(long, value_name = "ROLE")]
    role: Role,

    /// Slug of the tenant
    #[arg(long, value_name = "SLUG", requires = "tenant_id")]
    tenant: Option<String>,

    /// Id of the same tenant
    #[arg(long, value_name = "UUID", requires = "tenant")]
    tenant_id: Option<String>,

    /// Id of a project that the token is limited to; may be repeated. Without it, all projects of the tenant
    #[arg(long = "project", value_name = "UUID")]
    projects: Vec<String>,

    /// Id of the cluster whose part of the snapshot a gate reads; the role service needs it
    #[arg(long, value_name = "UUID", conflicts_with = "all_clusters")]
    cluster_id: Option<String>,

    /// Let a gate read the snapshot of every cluster, instead of `--cluster-id`
    #[arg(long)]
    all_clusters: bool,

    /// Lifetime of the token, 1m to 720h
    #[arg(long, value_name = "TIME", default_value = "1h")]
    ttl: Span,
}

fn mint(args: NewArgs, key_args: &KeyArgs) -> anyhow::Result<Exit> {
    let NewArgs { subject, role, tenant, tenant_id, projects, cluster_id, all_clusters, ttl } = args;
    if role == Role::Service && cluster_id.is_none() && !all_clusters {
        anyhow::bail!(
            "--role service needs a cluster: give --cluster-id UUID (`portcullis cluster get NAME` shows it), or --all-clusters"
        );
    }
    if let Some(id) = cluster_id.as_deref().filter(|id| !is_uuid(id)) {
        anyhow::bail!(
            "--cluster-id `{id}` is not a UUID in lower case; `portcullis cluster get NAME` shows it"
        );
    }
    let wish = TokenRequest {
        subject,
        roles: vec![role],
        tenant: tenant.zip(tenant_id).map(|(slug, id)| TenantRef { id, slug }),
        projects: (!projects.is_empty()).then_some(projects),
        clusters: if all_clusters { Some(Clusters::All) } else { cluster_id.map(Clusters::One) },
        ttl_seconds: i64::try_from(ttl.0.as_secs()).unwrap_or(i64::MAX),
    };
    // The holder of the keys acts as the server itself; the claim `mintedBy` records it.
    let scope = authorize(&Identity::process("token"), Action::TokensMint, None, "portcullis token new")?;
    let granted = grant(&scope, wish, None)?;
    let (keys, made) = Keys::open_or_create(&key_args.dir()?)?;
    if let Some(path) = made {
        output::note(format!("created the first key, {}", path.display()));
    }
    let issued = key_args.tokens(keys)?.issue(&granted, now())?;
    output::note(summary(&issued.claims));
    output::print(&format!("{}\n", issued.token))?;
    Ok(Exit::Ok)
}

fn summary(claims: &Claims) -> String {
    let Claims { iss, sub, exp, jti, .. } = claims;
    let roles: Vec<&str> = claims.roles.iter().map(|role| role.as_str()).collect();
    let tenant = claims.tenant_slug.as_ref().map(|slug| format!(" of {slug}")).unwrap_or_default();
    format!("{iss}#{sub}, {}{tenant}, until {}, jti {jti}", roles.join(", "), time(*exp))
}

const OWN_TOKEN_SECONDS: i64 = 300;

/// An administrator's token for one command on loopback, signed with the keys of this user.
pub fn own_token() -> anyhow::Result<String> {
    let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let dir = env("PORTCULLIS_TOKEN_KEYS").map_or_else(default_dir, |dir| Ok(PathBuf::from(dir)))?;
    let issuer = env("PORTCULLIS_TOKEN_ISSUER").unwrap_or_else(|| ISSUER.to_owned());
    let audience = env("PORTCULLIS_TOKEN_AUDIENCE").unwrap_or_else(|| AUDIENCE.to_owned());
    let subject = env("USER").or_else(|| env("LOGNAME")).filter(|user| user.bytes().all(plain));
    let wish = TokenRequest {
        subject: subject.unwrap_or_else(|| "operator".to_owned()),
        roles: vec![Role::Admin],
        tenant: None,
        projects: None,
        clusters: None,
        ttl_seconds: OWN_TOKEN_SECONDS,
    };
    let scope = authorize(&Identity::process("token"), Action::TokensMint, None, "portcullis")?;
    let granted = grant(&scope, wish, None)?;
    let tokens = Tokens::new(Arc::new(Keys::open(&dir)?), Names::new(&issuer, &audience)?);
    Ok(tokens.issue(&granted, jiff::Timestamp::now().as_second())?.token)
}

const fn plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

/// Longer than any token, so that the verifier reports a token that is too long.
const TOKEN_BYTES_MAX: u64 = 64 * 1024;

#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// File with the token, `-` for standard input; a token on the command line would be visible to every user
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,

    /// Output format
    #[arg(long, short, value_enum, default_value_t, value_name = "FORMAT")]
    output: TextOrJson,
}

/// Shows the claims only if one of the keys signed them. Revocation is known to the server only.
fn show(args: &ShowArgs, key_args: &KeyArgs) -> anyhow::Result<Exit> {
    let token = read_token(&args.file)?;
    let tokens = key_args.tokens(Keys::open(&key_args.dir()?)?)?;
    let verdict = tokens.verify(token.trim_end(), now()).map(|_| ());
    let claims = tokens.claims(token.trim_end()).ok();
    match args.output {
        TextOrJson::Json => {
            let why = verdict.err().map(|error| error.to_string());
            output::print_json(&json!({"valid": why.is_none(), "why": why, "claims": claims}))?;
        }
        TextOrJson::Text => output::print(&token_text(verdict, claims.as_ref()))?,
    }
    Ok(Exit::findings(verdict.is_err()))
}

fn read_token(file: &PathBuf) -> anyhow::Result<String> {
    let mut text = String::new();
    if file.as_os_str() == "-" {
        std::io::stdin().take(TOKEN_BYTES_MAX).read_to_string(&mut text).context("standard input")?;
    } else {
        let failed = || format!("`{}`", file.display());
        let open = std::fs::File::open(file).with_context(failed)?;
        open.take(TOKEN_BYTES_MAX).read_to_string(&mut text).with_context(failed)?;
    }
    Ok(text)
}

fn token_text(verdict: Result<(), TokenError>, claims: Option<&Claims>) -> String {
    let verdict = match verdict {
        Ok(()) => format!("{GOOD}valid{GOOD:#}"),
        Err(error) => format!("{BAD}invalid{BAD:#}: {error}"),
    };
    let Some(claims) = claims else { return format!("{verdict}\n") };
    let roles: Vec<&str> = claims.roles.iter().map(|role| role.as_str()).collect();
    let tenant = claims.tenant_slug.as_deref().zip(claims.tenant.as_deref());
    let mut table = output::table(&["claim", "value"]);
    let mut row = |name: &str, value: String| {
        // Claims may hold control characters, which must not reach the terminal.
        table.add_row([name.to_owned(), value.escape_debug().to_string()]);
    };
    row("subject", format!("{}#{}", claims.iss, claims.sub));
    row("audience", claims.aud.clone());
    row("roles", roles.join(", "));
    row("tenant", tenant.map_or_else(|| "–".to_owned(), |(slug, id)| format!("{slug} ({id})")));
    row("projects", claims.projects.as_ref().map_or_else(|| "–".to_owned(), |ids| ids.join(", ")));
    row("cluster", claims.cluster.clone().unwrap_or_else(|| "–".to_owned()));
    row("issued", time(claims.iat));
    row("expires", time(claims.exp));
    row("jti", claims.jti.clone());
    row("minted by", claims.minted_by.clone().unwrap_or_else(|| "–".to_owned()));
    format!("{verdict}\n\n{}", output::lines(&table))
}

#[derive(Debug, clap::Args)]
pub struct KeysArgs {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// List the keys, oldest first
    List(KeysListArgs),
    /// Create a new key. Every server that watches the directory signs with it one minute later
    Rotate,
}

#[derive(Debug, clap::Args)]
struct KeysListArgs {
    /// Output format
    #[arg(long, short, value_enum, default_value_t, value_name = "FORMAT")]
    output: TextOrJson,
}

fn keys(args: &KeysArgs, key_args: &KeyArgs) -> anyhow::Result<Exit> {
    match args.command {
        KeysCommand::List(KeysListArgs { output }) => list_keys(&Keys::open(&key_args.dir()?)?.now(), output),
        KeysCommand::Rotate => rotate(key_args),
    }
}

fn list_keys(set: &KeySet, output: TextOrJson) -> anyhow::Result<Exit> {
    let now = now();
    let rows: Vec<[String; 4]> = set
        .iter()
        .map(|key| {
            let made = if key.created() == i64::MIN { "–".to_owned() } else { time(key.created()) };
            [key.kid().to_owned(), made, state(set, key, now), key.path().display().to_string()]
        })
        .collect();
    match output {
        TextOrJson::Json => {
            let entry = |[kid, created, state, file]: &[String; 4]| json!({"kid": kid, "created": created, "state": state, "file": file});
            output::print_json(&rows.iter().map(entry).collect::<Vec<_>>())?;
        }
        TextOrJson::Text => {
            let mut table = output::table(&["kid", "created", "state", "file"]);
            table.add_rows(rows);
            output::print(&output::lines(&table))?;
        }
    }
    Ok(Exit::Ok)
}

fn state(set: &KeySet, key: &Key, now: i64) -> String {
    let signs = set.signing(now).is_some_and(|signing| signing.kid() == key.kid());
    let settled = key.created().saturating_add(SETTLE_SECONDS);
    if signs {
        return "signs".to_owned();
    }
    if settled > now {
        return format!("signs from {}", time(settled));
    }
    // The key signed its last token when the next key became active.
    let next = set.iter().skip_while(|other| other.kid() != key.kid()).nth(1);
    let last = next.map_or(now, |next| next.created().saturating_add(SETTLE_SECONDS));
    format!("verifies until {}", time(last.saturating_add(LIFETIME_SECONDS_MAX)))
}

fn rotate(key_args: &KeyArgs) -> anyhow::Result<Exit> {
    let dir = key_args.dir()?;
    // Newer than every existing key, even one created within the same second: the newest key signs.
    let newest = Keys::open(&dir).ok().and_then(|keys| keys.now().iter().map(Key::created).max());
    let at = newest.map_or_else(now, |newest| now().max(newest.saturating_add(1)));
    let path = create(&dir, jiff::Timestamp::from_second(at)?)?;
    // An unreadable key would make every server keep its previous keys and report that in its log only.
    let set = Keys::open(&dir)?.now();
    let key = set.iter().find(|key| key.path() == path);
    output::note(key.map_or_else(String::new, |key| state(&set, key, now())));
    output::print(&format!("{}\n", path.display()))?;
    Ok(Exit::Ok)
}
