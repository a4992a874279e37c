//! Ed25519 signatures (RFC 8032) with PEM keys, for break-glass documents.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{KeyPair, PKCS_ED25519};
use ring::signature::{ED25519, ED25519_PUBLIC_KEY_LEN, Ed25519KeyPair, UnparsedPublicKey};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::SubjectPublicKeyInfo;

/// `id-Ed25519` of RFC 8410.
const ED25519_OID: &str = "1.3.101.112";

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("holds no `{0}` in PEM")]
    Pem(&'static str),
    #[error("holds a key that is not of Ed25519")]
    Kind,
    #[error("cannot generate a key")]
    Generate(#[source] rcgen::Error),
}

/// A new key pair: private (PKCS #8) and public (RFC 8410), both PEM.
pub fn generate() -> Result<(String, String), KeyError> {
    let pair = KeyPair::generate_for(&PKCS_ED25519).map_err(KeyError::Generate)?;
    Ok((pair.serialize_pem(), pair.public_key_pem()))
}

/// Signs a text with the private key of a PEM file; returns base64 of 64 bytes.
pub fn sign(pem: &[u8], text: &str) -> Result<String, KeyError> {
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem).map_err(|_| KeyError::Pem("PRIVATE KEY"))?;
    let pair =
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der()).map_err(|_| KeyError::Kind)?;
    Ok(STANDARD.encode(pair.sign(text.as_bytes())))
}

/// Public keys; a signature by any of them is accepted.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Verifier(Vec<[u8; ED25519_PUBLIC_KEY_LEN]>);

impl Verifier {
    /// Reads every `PUBLIC KEY` of a PEM file; at least one.
    pub fn parse(pem: &[u8]) -> Result<Self, KeyError> {
        let sections: Vec<_> = SubjectPublicKeyInfoDer::pem_slice_iter(pem)
            .collect::<Result<_, _>>()
            .map_err(|_| KeyError::Pem("PUBLIC KEY"))?;
        if sections.is_empty() {
            return Err(KeyError::Pem("PUBLIC KEY"));
        }
        let keys = sections.iter().map(|der| {
            let (rest, info) = SubjectPublicKeyInfo::from_der(der.as_ref()).map_err(|_| KeyError::Kind)?;
            let ed25519 = info.algorithm.algorithm.to_id_string() == ED25519_OID && rest.is_empty();
            let key = <[u8; ED25519_PUBLIC_KEY_LEN]>::try_from(info.subject_public_key.data.as_ref());
            key.ok().filter(|_| ed25519).ok_or(KeyError::Kind)
        });
        keys.collect::<Result<_, _>>().map(Self)
    }

    /// Without keys no signature verifies.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of the keys signed this text; `signature` is base64.
    pub fn verifies(&self, text: &str, signature: &str) -> bool {
        let Ok(signature) = STANDARD.decode(signature) else { return false };
        self.0
            .iter()
            .any(|key| UnparsedPublicKey::new(&ED25519, key).verify(text.as_bytes(), &signature).is_ok())
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} public keys", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signature_verifies_only_its_own_text() {
        let (private, public) = generate().unwrap();
        let (other_private, other_public) = generate().unwrap();
        let signature = sign(private.as_bytes(), "open").unwrap();
        let both = Verifier::parse(format!("{other_public}{public}").as_bytes()).unwrap();
        assert!(both.verifies("open", &signature));
        assert!(!both.verifies("Open", &signature));
        assert!(!both.verifies("open", "AAAA"));
        assert!(!both.verifies("open", "not base64"));
        let other = Verifier::parse(other_public.as_bytes()).unwrap();
        assert!(!other.verifies("open", &signature));
        assert!(other.verifies("open", &sign(other_private.as_bytes(), "open").unwrap()));
        assert!(!Verifier::default().verifies("open", &signature));
    }

    #[test]
    fn other_keys_than_ed25519_are_refused() {
        let said = |pem: &str| Verifier::parse(pem.as_bytes()).unwrap_err().to_string();
        assert_eq!(said(""), "holds no `PUBLIC KEY` in PEM");
        let (private, _) = generate().unwrap();
        assert_eq!(said(&private), "holds no `PUBLIC KEY` in PEM");
        let ecdsa = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        assert_eq!(said(&ecdsa.public_key_pem()), "holds a key that is not of Ed25519");
        let wrong = sign(ecdsa.serialize_pem().as_bytes(), "open").unwrap_err().to_string();
        assert_eq!(wrong, "holds a key that is not of Ed25519");
    }
}
