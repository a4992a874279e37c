//! `portcullis token show`: what a token says, and whether it is good.

use std::io::Read as _;
use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::json;

use super::{Exit, Place, output, time};
use output::{BAD, GOOD, TextOrJson};
use portcullis_access::keys::Keys;
use portcullis_access::token::{Claims, TokenError, now};

/// Longer than any token, so that the sentence about its length is said by whoever verifies it.
const BYTES_MAX: u64 = 64 * 1024;

/// Words of `portcullis token show`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A file that holds the token, `-` for standard input. A token on a command line would be everybody's to read
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,

    /// How to print
    #[arg(long, short, value_enum, default_value_t, value_name = "FORMAT")]
    output: TextOrJson,
}

/// Verifies it with the keys, and shows its claims where one of the keys has signed them. Whether it has been revoked
/// is for a server to say.
///
/// # Errors
/// Token or keys cannot be read.
pub fn run(args: &Args, place: &Place) -> anyhow::Result<Exit> {
    let token = read(&args.file)?;
    let tokens = place.tokens(Keys::open(&place.dir()?)?)?;
    let verdict = tokens.verify(token.trim_end(), now()).map(|_| ());
    let claims = tokens.claims(token.trim_end()).ok();
    match args.output {
        TextOrJson::Json => {
            let why = verdict.err().map(|error| error.to_string());
            output::print_json(&json!({"good": why.is_none(), "why": why, "claims": claims}))?;
        }
        TextOrJson::Text => output::print(&text(verdict, claims.as_ref()))?,
    }
    Ok(Exit::findings(verdict.is_err()))
}

fn read(file: &PathBuf) -> anyhow::Result<String> {
    let mut text = String::new();
    if file.as_os_str() == "-" {
        std::io::stdin().take(BYTES_MAX).read_to_string(&mut text).context("standard input")?;
    } else {
        let failed = || format!("`{}`", file.display());
        let open = std::fs::File::open(file).with_context(failed)?;
        open.take(BYTES_MAX).read_to_string(&mut text).with_context(failed)?;
    }
    Ok(text)
}

fn text(verdict: Result<(), TokenError>, claims: Option<&Claims>) -> String {
    let verdict = match verdict {
        Ok(()) => format!("{GOOD}good{GOOD:#}"),
        Err(error) => format!("{BAD}no good{BAD:#}: {error}"),
    };
    let Some(claims) = claims else { return format!("{verdict}\n") };
    let roles: Vec<&str> = claims.roles.iter().map(|role| role.as_str()).collect();
    let tenant = claims.tenant_slug.as_deref().zip(claims.tenant.as_deref());
    let mut table = output::table(&["claim", "value"]);
    let mut row = |name: &str, value: String| {
        // Signed by us, and shown on a terminal all the same.
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
