//! `portcullis certs`: an authority and a leaf for development, and what to do with them next.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::bail;

use super::{Exit, output};
use portcullis_certs::develop::{Authority, Use};

const EXAMPLES: &str = "\
Examples:
  portcullis certs                                             for the Service of the chart, and for loopback
  portcullis certs --name gate.example.com --ip 192.0.2.7      for a gate outside the cluster

For development: the authority's key lies beside what it signed. In a cluster use cert-manager, or another issuer that
writes files.";

/// The files, in the order of telling.
const FILES: [&str; 4] = ["ca.pem", "ca-key.pem", "tls.pem", "tls-key.pem"];

/// Flags of `certs`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Where they are written
    #[arg(long, value_name = "DIR", default_value = "certs")]
    dir: PathBuf,

    /// A DNS name of the gate; may be repeated. Without it the Service of the chart, and `localhost`
    #[arg(long = "name", value_name = "DNS")]
    names: Vec<String>,

    /// An address of the gate; may be repeated. Without it, and without --name, loopback
    #[arg(long = "ip", value_name = "IP")]
    ips: Vec<IpAddr>,

    /// For how many days the leaf is good
    #[arg(long, value_name = "N", default_value = "397", value_parser = clap::value_parser!(u32).range(1..=3649))]
    days: u32,

    /// Replace what is there; whoever trusts the old authority has to be told of the new one
    #[arg(long)]
    force: bool,
}

/// Makes and writes them.
///
/// # Errors
/// Something is there already, or cannot be written.
pub fn run(args: Args) -> anyhow::Result<Exit> {
    let Args { dir, names, ips, days, force } = args;
    let names = names_of(names, &ips)?;
    let paths = FILES.map(|file| dir.join(file));
    let [ca, ca_key, tls, tls_key] = &paths;
    if let Some(there) = paths.iter().find(|path| path.exists())
        && !force
    {
        bail!(
            "`{}` is there already; use --force to replace it, or --dir for another place",
            there.display()
        );
    }
    let authority = Authority::new("Portcullis development authority")?;
    let leaf = authority.issue_for(&names, Use::Server, Duration::from_hours(24 * u64::from(days)))?;
    authority.write(ca, ca_key)?;
    leaf.write(tls, tls_key)?;
    output::print(&told(&paths, &names, leaf.pair()?.not_after))?;
    Ok(Exit::Fine)
}

/// Whoever names something means exactly that.
fn names_of(mut names: Vec<String>, ips: &[IpAddr]) -> anyhow::Result<Vec<String>> {
    if names.is_empty() && ips.is_empty() {
        let usual = ["portcullis.portcullis-system.svc", "localhost", "127.0.0.1", "::1"];
        return Ok(usual.map(str::to_owned).to_vec());
    }
    let label = |label: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=63).contains(&label.len()) && label.bytes().all(plain)
    };
    let known = |name: &&String| name.strip_prefix("*.").unwrap_or(name).split('.').all(label);
    if let Some(wrong) = names.iter().find(|name| !known(name)) {
        bail!("`{wrong}` of --name is no DNS name; an address goes with --ip");
    }
    names.extend(ips.iter().map(ToString::to_string));
    Ok(names)
}

fn told([ca, ca_key, tls, tls_key]: &[PathBuf; 4], names: &[String], not_after: i64) -> String {
    let until =
        jiff::Timestamp::from_second(not_after).map_or_else(|_| "?".to_owned(), |end| end.to_string());
    let mut text = String::new();
    let mut wrote = |path: &Path, what: &str| {
        let _ = writeln!(text, "wrote {}  {what}", path.display());
    };
    wrote(ca, "the authority, for ten years");
    wrote(ca_key, "its key, for its owner's eyes");
    wrote(tls, &format!("the leaf for {}, until {until}", names.join(", ")));
    wrote(tls_key, "its key, for its owner's eyes");
    let _ = write!(
        text,
        "\nServe with it, and register what vouches for it:\n  \
         portcullis serve --tls-cert {tls} --tls-key {tls_key} --tenancy FILE\n  \
         portcullis manifests --ca-bundle {ca} | kubectl apply --server-side -f -\n\
         The caBundle alone:\n  base64 < {ca} | tr -d '\\n'\n",
        tls = tls.display(),
        tls_key = tls_key.display(),
        ca = ca.display(),
    );
    text
}
