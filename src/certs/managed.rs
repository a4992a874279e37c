//! Certificates that renew themselves: a CA, the server certificate that it signs, and when each is replaced.
//!
//! ```text
//! CA A ├──────────── signs ────────────┤╌╌╌╌ trusted ╌╌╌╌┤ its last server certificate has expired
//! CA B             ├╌╌ trusted ╌╌╌╌╌╌╌╌├──────────── signs ────────────
//!                  │                   │
//!            in the bundle       settled, and in every registered caBundle
//! ```
//!
//! [`next_step`] computes what is due from the shared [`State`], the time and what callers trust. `cluster` stores the
//! state and makes sure that one replica takes the step.

mod certificate;
mod secret;

use std::time::Duration;

use jiff::Timestamp;

pub use self::certificate::{CertificateAuthority, ServerCertificate};
pub use self::secret::{SECRET_KEYS, SecretDamage, SecretData, Trust, roots};

use super::CertError;
use super::pair::Pair;

/// Certificates start this much in the past, for clients whose clocks are slow.
pub(super) const CLOCK_SKEW: Duration = Duration::from_mins(5);

/// Everything that replicas share, private keys included, hence not `Debug`.
#[derive(Clone, PartialEq)]
pub struct State {
    signing: CertificateAuthority,
    /// In the bundle already; signs once every caller trusts it.
    next: Option<CertificateAuthority>,
    /// Previous CAs, PEM, which are trusted until the certificates that they signed have expired. CAs that an
    /// operator added are here too.
    previous: Vec<String>,
    /// When the last certificate of the previous CAs has expired. Without it they stay until the next change of the
    /// CA.
    until: Option<Timestamp>,
    server_certificate: ServerCertificate,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateSpec {
    /// Start of the CA's common name.
    pub title: String,
    /// DNS names and IP addresses of the server certificate, at least one; names in lower case, addresses as Rust
    /// formats them.
    pub names: Vec<String>,
    pub validity: Validity,
}

/// Validity of the certificates. Each is renewed after two thirds of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    pub server_certificate: Duration,
    pub ca: Duration,
}

/// A rotation that an operator requests before it is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RotationRequest {
    /// A new server certificate of the same CA.
    ServerCertificate,
    /// A new CA and a new server certificate.
    Ca,
}

// === impl Validity ===

impl Validity {
    /// How long a new CA is only trusted before it signs: ten minutes, or a tenth of a server certificate's validity
    /// if that is shorter. Replicas and API servers see it within seconds; their clocks may differ by minutes.
    pub fn settle(self) -> Duration {
        (self.server_certificate / 10).min(Duration::from_mins(10))
    }
}

// === impl State ===

impl State {
    /// A new CA and server certificate, which no caller trusts yet.
    pub fn create(spec: &CertificateSpec, now: Timestamp) -> Result<Self, CertError> {
        let signing = CertificateAuthority::make(&spec.title, now, spec.validity.ca)?;
        let server_certificate = signing.issue(&spec.names, now, spec.validity.server_certificate)?;
        Ok(Self { signing, next: None, previous: Vec::new(), until: None, server_certificate })
    }

    /// Every CA certificate that callers must trust, PEM; the signing CA comes first.
    pub fn bundle(&self) -> String {
        let next = self.next.iter().map(CertificateAuthority::cert_pem);
        let previous = self.previous.iter().map(String::as_str);
        std::iter::once(self.signing.cert_pem()).chain(next).chain(previous).collect()
    }

    pub fn server_certificate(&self) -> &ServerCertificate {
        &self.server_certificate
    }

    pub fn pair(&self) -> Result<Pair, CertError> {
        self.server_certificate.pair()
    }

    pub fn signing(&self) -> &CertificateAuthority {
        &self.signing
    }

    pub fn next(&self) -> Option<&CertificateAuthority> {
        self.next.as_ref()
    }
}

/// What is due now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Idle(Timestamp),
    /// The next CA may sign from this time on, but not every caller trusts it yet.
    WaitForTrust(Timestamp),
    /// Every CA has expired.
    CreateAll,
    RenewServerCertificate,
    /// A new CA, which is trusted before it signs.
    AddCa,
    /// The next CA signs from now on, and its first server certificate is served.
    SwitchCa,
    /// Previous CAs leave the bundle, because every certificate that they signed has expired.
    RemovePreviousCas,
}

/// What is due at `now`, where callers trust `trust`.
///
/// A CA signs only after it has been in the bundle for [`Validity::settle`] and in every registration. A CA leaves
/// the bundle only when its last server certificate has expired, so a replica that missed every change stays trusted.
pub fn next_step(
    state: &State,
    spec: &CertificateSpec,
    trust: &Trust,
    request: Option<RotationRequest>,
    now: Timestamp,
) -> Step {
    let State { signing, next, previous, until, server_certificate } = state;
    if signing.not_after() <= now && next.is_none() {
        return Step::CreateAll;
    }
    if let Some(next) = next {
        let settled = after(next.created(), spec.validity.settle());
        // With an expired CA no caller can connect, so there is nothing to wait for.
        if signing.not_after() <= now || settled <= now && trust.includes(next) {
            return Step::SwitchCa;
        }
        if renewal_is_due(state, spec, request, now) {
            return Step::RenewServerCertificate;
        }
        return Step::WaitForTrust(settled);
    }
    if !previous.is_empty() && until.is_some_and(|until| until < now) {
        return Step::RemovePreviousCas;
    }
    if request == Some(RotationRequest::Ca) || signing.is_due(now) {
        return Step::AddCa;
    }
    if renewal_is_due(state, spec, request, now) {
        return Step::RenewServerCertificate;
    }
    let next = server_certificate.due().min(signing.due());
    // An operator may have removed the previous CAs by hand.
    let until = until.filter(|_| !previous.is_empty());
    Step::Idle(until.map_or(next, |until| next.min(until)))
}

fn renewal_is_due(
    state: &State,
    spec: &CertificateSpec,
    request: Option<RotationRequest>,
    now: Timestamp,
) -> bool {
    let State { server_certificate, signing, .. } = state;
    let lacks = spec.names.iter().any(|name| !server_certificate.names().contains(name));
    // A server certificate that ends with its CA cannot be valid for longer.
    request == Some(RotationRequest::ServerCertificate)
        || lacks
        || server_certificate.is_due(now) && server_certificate.not_after() < signing.not_after()
}

impl State {
    /// The state after a step. Creates keys; [`Step::Idle`] and [`Step::WaitForTrust`] change nothing.
    pub fn take(&self, step: Step, spec: &CertificateSpec, now: Timestamp) -> Result<Self, CertError> {
        let mut state = self.clone();
        match step {
            Step::Idle(_) | Step::WaitForTrust(_) => {}
            Step::CreateAll => state = Self::create(spec, now)?,
            Step::RenewServerCertificate => {
                state.server_certificate =
                    self.signing.issue(&self.names(spec, now), now, spec.validity.server_certificate)?;
            }
            Step::AddCa => {
                state.next = Some(CertificateAuthority::make(&spec.title, now, spec.validity.ca)?);
            }
            Step::SwitchCa => {
                let Some(next) = state.next.take() else { return Ok(state) };
                let server_certificate =
                    next.issue(&self.names(spec, now), now, spec.validity.server_certificate)?;
                let old = std::mem::replace(&mut state.signing, next);
                state.previous.push(old.cert_pem().to_owned());
                // Every certificate of the old CA was issued before now; `settle` covers clocks that differ.
                let last =
                    state.server_certificate.not_after().max(after(now, spec.validity.server_certificate));
                let last = after(last, spec.validity.settle());
                state.until = Some(state.until.map_or(last, |until| until.max(last)));
                state.server_certificate = server_certificate;
            }
            Step::RemovePreviousCas => {
                state.previous.clear();
                state.until = None;
            }
        }
        Ok(state)
    }

    /// During a rollout that changes the names, old and new replicas both need theirs, or each would undo the other's
    /// change. Old names go with the next renewal that is due by time.
    fn names(&self, spec: &CertificateSpec, now: Timestamp) -> Vec<String> {
        let mut names = spec.names.clone();
        if !self.server_certificate.is_due(now) {
            let old = self.server_certificate.names().iter().filter(|name| !spec.names.contains(name));
            names.extend(old.cloned());
        }
        names
    }
}

fn after(now: Timestamp, length: Duration) -> Timestamp {
    now.saturating_add(length).unwrap_or(now)
}

#[cfg(test)]
mod tests;
