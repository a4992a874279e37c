//! Certificates: issued for development, renewed for production, and read from files.

pub mod develop;
pub mod managed;
pub mod pair;

use std::io;
use std::path::PathBuf;

use rustls::pki_types::pem;

#[derive(Debug, thiserror::Error)]
pub enum CertError {
    #[error("cannot read `{}`, the file of {flag}", path.display())]
    Read {
        flag: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("`{}`, the file of {flag}, is not PEM", path.display())]
    NotPem {
        flag: &'static str,
        path: PathBuf,
        #[source]
        source: pem::Error,
    },
    #[error("`{}`, the file of {flag}, holds no {missing} in PEM", path.display())]
    Missing { flag: &'static str, path: PathBuf, missing: &'static str },
    #[error("`{}`, the file of {flag}, cannot be used: {why}", path.display())]
    Unusable { flag: &'static str, path: PathBuf, why: String },
    #[error(
        "the key `{}` of {} does not belong to the certificate `{}` of {}",
        key.display(), flags.key, cert.display(), flags.cert
    )]
    Mismatch { cert: PathBuf, key: PathBuf, flags: pair::Flags },
    #[error("the certificate `{}` of {flag} expired at {at}", path.display())]
    Expired { flag: &'static str, path: PathBuf, at: jiff::Timestamp },
    #[error("cannot create a development certificate")]
    Generate(#[from] rcgen::Error),
    #[error("cannot write `{}`", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}
