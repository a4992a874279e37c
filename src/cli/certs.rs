//! `portcullis certs`: creates a CA and a server certificate for development.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::bail;

use super::{Exit, output};
use portcullis_certs::develop::{CertificateAuthority, Use};

const EXAMPLES: &str = "\
Examples:
  portcullis certs                                             for the Service of the chart, and for loopback
  portcullis certs --name gate.example.com --ip 192.0.2.7      for a gate outside the cluster

For development only: the CA key is stored beside the certificates. In a cluster use cert-manager or another issuer that
writes files.";

const FILES: [&str; 4] = ["ca.pem", "ca-key.pem", "tls.pem", "tls-key.pem"];

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Directory of the files
    #[arg(long, value_name = "DIR", default_value = "certs")]
    dir: PathBuf,

    /// DNS name of the gate; may be repeated. By default the Service of the chart and `localhost`
    #[arg(long = "name", value_name = "DNS")]
    names: Vec<String>,

    /// IP address of the gate; may be repeated. By default, without --name, the loopback addresses
    #[arg(long = "ip", value_name = "IP")]
    ips: Vec<IpAddr>,

    /// Validity of the server certificate in days
    #[arg(long, value_name = "N", default_value = "397", value_parser = clap::value_parser!(u32).range(1..=3649))]
    days: u32,

    /// Replace existing files; clients that trust the old CA must be given the new one
    #[arg(long)]
    force: bool,
}

pub fn run(args: Args) -> anyhow::Result<Exit> {
    let Args { dir, names, ips, days, force } = args;
    let names = names_of(names, &ips)?;
    let paths = FILES.map(|file| dir.join(file));
    let [ca, ca_key, tls, tls_key] = &paths;
    if let Some(there) = paths.iter().find(|path| path.exists())
        && !force
    {
        bail!("`{}` exists; --force replaces it, --dir names another directory", there.display());
    }
    let issuer = CertificateAuthority::new("Portcullis development CA")?;
    let certificate = issuer.issue_for(&names, Use::Server, Duration::from_hours(24 * u64::from(days)))?;
    issuer.write(ca, ca_key)?;
    certificate.write(tls, tls_key)?;
    output::print(&summary(&paths, &names, certificate.pair()?.not_after))?;
    Ok(Exit::Ok)
}

/// Explicit names replace all defaults.
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

fn summary([ca, ca_key, tls, tls_key]: &[PathBuf; 4], names: &[String], not_after: i64) -> String {
    let until =
        jiff::Timestamp::from_second(not_after).map_or_else(|_| "?".to_owned(), |end| end.to_string());
    let mut text = String::new();
    let mut wrote = |path: &Path, what: &str| {
        let _ = writeln!(text, "wrote {}  {what}", path.display());
    };
    wrote(ca, "CA certificate, valid for ten years");
    wrote(ca_key, "private key");
    wrote(tls, &format!("server certificate for {}, valid until {until}", names.join(", ")));
    wrote(tls_key, "private key");
    let _ = write!(
        text,
        "\nServe with the certificate, and register its CA:\n  \
         portcullis serve --tls-cert {tls} --tls-key {tls_key} --tenancy FILE\n  \
         portcullis manifests --ca-bundle {ca} | kubectl apply --server-side -f -\n\
         The caBundle alone:\n  base64 < {ca} | tr -d '\\n'\n",
        tls = tls.display(),
        tls_key = tls_key.display(),
        ca = ca.display(),
    );
    text
}
