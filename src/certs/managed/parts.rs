//! The state as what is kept of it: some texts by name, in the shape that other tools know of a TLS Secret.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::issue::{self, Authority, Leaf};
use super::trust::vouched;
use super::{Order, State};
use crate::CertError;

/// Values by key: what a Secret's `data` holds.
pub type Parts = BTreeMap<String, Vec<u8>>;

/// The leaf.
const LEAF: &str = "tls.crt";
/// Its key.
const LEAF_KEY: &str = "tls.key";
/// Everything that callers have to trust; the one that [`SIGNING_KEY`] belongs to signs.
const BUNDLE: &str = "ca.crt";
/// Key of the authority that signs.
const SIGNING_KEY: &str = "ca.key";
/// Key of the authority that will.
const NEXT_KEY: &str = "next-ca.key";
/// When the authorities whose keys are not here leave the bundle.
const UNTIL: &str = "previous-until";

/// Every key that is ours; others are left alone.
pub const KEYS: [&str; 6] = [LEAF, LEAF_KEY, BUNDLE, SIGNING_KEY, NEXT_KEY, UNTIL];

/// What was kept is not what we wrote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` {why}")]
pub struct Damage {
    /// Which value.
    pub key: &'static str,
    /// What is wrong with it; never a piece of it.
    pub why: String,
}

impl State {
    /// What is kept.
    pub fn parts(&self) -> Parts {
        let text = |text: &str| text.as_bytes().to_vec();
        let mut parts = Parts::from([
            (LEAF.to_owned(), text(self.leaf.cert_pem())),
            (LEAF_KEY.to_owned(), text(self.leaf.key_pem())),
            (BUNDLE.to_owned(), text(&self.bundle())),
            (SIGNING_KEY.to_owned(), text(self.signing.key_pem())),
        ]);
        if let Some(next) = &self.next {
            parts.insert(NEXT_KEY.to_owned(), text(next.key_pem()));
        }
        if let Some(until) = self.until {
            parts.insert(UNTIL.to_owned(), text(&until.to_string()));
        }
        parts
    }

    /// Reads what was kept.
    ///
    /// # Errors
    /// A value is missing or no good, or they do not belong together.
    pub fn read(parts: &Parts) -> Result<Self, Damage> {
        let (signing, mut rest) = signing(parts)?;
        let next = match parts.get(NEXT_KEY) {
            Some(_) => Some(authority(parts, NEXT_KEY, &mut rest)?),
            None => None,
        };
        let until = match parts.get(UNTIL) {
            Some(_) => Some(text(parts, UNTIL)?.trim().parse().map_err(|_| not(UNTIL, "is no time"))?),
            None => None,
        };
        let leaf = certificates(parts, LEAF)?;
        let leaf = leaf.first().ok_or_else(|| not(LEAF, "holds no certificate"))?;
        let leaf = Leaf::read(leaf, text(parts, LEAF_KEY)?)
            .map_err(|why| not(LEAF, &format!("cannot be served: {why}")))?;
        let state = Self { signing, next, previous: rest.iter().map(issue::pem).collect(), until, leaf };
        vouched(&state).map_err(|why| not(LEAF, &format!("is not vouched for by `{BUNDLE}`: {why}")))?;
        Ok(state)
    }

    /// What can be saved of damaged parts: the authority that signs, if it and its key are whole, with all that is trusted
    /// beside it, and a new leaf of it.
    ///
    /// # Errors
    /// Nothing can be saved.
    pub fn salvage(parts: &Parts, order: &Order, now: Timestamp) -> Result<Self, Damage> {
        let (signing, rest) = signing(parts)?;
        if signing.ends() <= now {
            return Err(not(BUNDLE, "has expired"));
        }
        let issue = || -> Result<Leaf, CertError> { signing.issue(&order.names, now, order.lives.leaf) };
        let leaf = issue().map_err(|error| not(SIGNING_KEY, &format!("does not sign: {error}")))?;
        Ok(Self { signing, next: None, previous: rest.iter().map(issue::pem).collect(), until: None, leaf })
    }
}

/// The authority that signs, and what is in the bundle beside it.
fn signing(parts: &Parts) -> Result<(Authority, Vec<CertificateDer<'static>>), Damage> {
    let mut bundle = certificates(parts, BUNDLE)?;
    Ok((authority(parts, SIGNING_KEY, &mut bundle)?, bundle))
}

/// The authority of this key, taken out of the bundle.
fn authority(
    parts: &Parts,
    key: &'static str,
    bundle: &mut Vec<CertificateDer<'static>>,
) -> Result<Authority, Damage> {
    let text = text(parts, key)?;
    let mut why = format!("belongs to no certificate of `{BUNDLE}`");
    for (at, certificate) in bundle.iter().enumerate() {
        match Authority::read(certificate, text) {
            Ok(found) => {
                bundle.remove(at);
                return Ok(found);
            }
            Err(flaw) if bundle.len() == 1 => why = format!("and `{BUNDLE}` do not go together: {flaw}"),
            Err(_) => {}
        }
    }
    Err(not(key, &why))
}

fn certificates(parts: &Parts, key: &'static str) -> Result<Vec<CertificateDer<'static>>, Damage> {
    let bytes = bytes(parts, key)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    let all = all.map_err(|error| not(key, &format!("is no PEM: {error}")))?;
    if all.is_empty() {
        return Err(not(key, "holds no certificate"));
    }
    Ok(all)
}

fn text<'a>(parts: &'a Parts, key: &'static str) -> Result<&'a str, Damage> {
    std::str::from_utf8(bytes(parts, key)?).map_err(|_| not(key, "is no text"))
}

fn bytes<'a>(parts: &'a Parts, key: &'static str) -> Result<&'a [u8], Damage> {
    parts.get(key).map(Vec::as_slice).ok_or_else(|| not(key, "is missing"))
}

fn not(key: &'static str, why: &str) -> Damage {
    Damage { key, why: why.to_owned() }
}
