//! Certificates: made for development, read and checked for service.
//!
//! - [`develop`]: a development authority and what it issues.
//! - [`managed`]: an authority and a leaf that renew themselves, and what is due when.
//! - [`pair`]: a certificate and its key as files, checked before anything is served with them.
//!
//! This closet knows neither sockets nor clusters; it turns bytes into what rustls can use, or into a sentence.

pub mod develop;
pub mod managed;
pub mod pair;

use std::io;
use std::path::PathBuf;

use rustls::pki_types::pem;

/// Why a certificate cannot be made, read or used.
#[derive(Debug, thiserror::Error)]
pub enum CertError {
    /// The file is missing or may not be read.
    #[error("cannot read `{}`, the file of {flag}", path.display())]
    Read {
        /// The flag that named the file.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The file is not PEM.
    #[error("`{}`, the file of {flag}, is not PEM", path.display())]
    NotPem {
        /// The flag that named the file.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// What the parser says.
        #[source]
        source: pem::Error,
    },
    /// The file is PEM, or empty, but what is looked for is not in it.
    #[error("`{}`, the file of {flag}, holds no {wanted} in PEM", path.display())]
    Missing {
        /// The flag that named the file.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// `certificate` or `private key`.
        wanted: &'static str,
    },
    /// A certificate that is no X.509, or a key of a kind that we cannot sign with.
    #[error("`{}`, the file of {flag}, cannot be used: {why}", path.display())]
    Unusable {
        /// The flag that named the file.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The key belongs to another certificate.
    #[error(
        "the key `{}` of {} does not belong to the certificate `{}` of {}",
        key.display(), flags.key, cert.display(), flags.cert
    )]
    Mismatch {
        /// The file of the certificate.
        cert: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// The flags that named them.
        flags: pair::Flags,
    },
    /// The certificate is over.
    #[error("the certificate `{}` of {flag} expired at {at}", path.display())]
    Expired {
        /// The flag that named the file.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// Its notAfter.
        at: jiff::Timestamp,
    },
    /// A development certificate could not be made.
    #[error("cannot make a development certificate")]
    Generate(#[from] rcgen::Error),
    /// A development certificate could not be written.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}
