//! Reports in `/readyz`, metrics and the log when the token of `--ledger-token` expires. A gate with an expired token keeps
//! deciding with its last snapshot, so only this shows that the snapshot becomes stale.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use portcullis_lifecycle::ready::Condition;
use portcullis_telemetry::metrics;

/// How often the file is read.
const TICK: Duration = Duration::from_secs(5);

/// Seconds before the expiry from which it is reported.
const SOON: i64 = 7 * DAY;

const DAY: i64 = 86_400;

/// Runs until `stop` is cancelled.
pub async fn watch(path: PathBuf, condition: Condition, stop: CancellationToken) -> Result<(), Infallible> {
    let mut known = None;
    loop {
        let found = tokio::fs::read(&path).await.ok().and_then(|token| expiry_of(&token));
        let state = State::of(found, Timestamp::now().as_second());
        // A token that the kubelet renews always expires soon; it is reported only if the renewal is late.
        let end = found.filter(|end| !end.is_renewed() || state != State::Good).map(|end| end.at);
        metrics::ledger_token_expiry(end);
        let message = state.message(&path, end);
        let _ = match &message {
            Some(reason) => condition.good_but(reason.clone()),
            None => condition.good(),
        };
        if known != Some(state) {
            log(state, message.as_deref());
            known = Some(state);
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(TICK) => {}
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Expiry {
    at: i64,
    /// Lifetime in seconds of a projected token, which the kubelet renews after four fifths of it.
    renewed_life: Option<i64>,
}

impl Expiry {
    const fn is_renewed(self) -> bool {
        self.renewed_life.is_some()
    }

    /// Seconds before the expiry from which it is reported.
    fn soon(self) -> i64 {
        self.renewed_life.map_or(SOON, |life| (life / 10).clamp(0, SOON))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Expires later, or has no expiry.
    Good,
    /// Expires within this many days.
    Days(i64),
    Expired,
}

impl State {
    fn of(end: Option<Expiry>, now: i64) -> Self {
        let Some(end) = end else { return Self::Good };
        match end.at.saturating_sub(now) {
            left if left <= 0 => Self::Expired,
            left if left <= end.soon() => Self::Days((left - 1) / DAY + 1),
            _ => Self::Good,
        }
    }

    fn message(self, path: &Path, end: Option<i64>) -> Option<String> {
        let at = end.and_then(|end| Timestamp::from_second(end).ok())?;
        let path = path.display();
        match self {
            Self::Good => None,
            Self::Days(1) => Some(format!("good: the token in `{path}` expires within 1 day, at {at}")),
            Self::Days(days) => {
                Some(format!("good: the token in `{path}` expires within {days} days, at {at}"))
            }
            Self::Expired => Some(format!(
                "good: the token in `{path}` expired at {at}; the ledger rejects it, and the gate decides with its last snapshot"
            )),
        }
    }
}

fn log(state: State, message: Option<&str>) {
    match (state, message) {
        (State::Days(days), Some(reason)) => {
            tracing::warn!(days, reason, "the token for the ledger expires soon")
        }
        (State::Expired, Some(reason)) => tracing::error!(reason, "the token for the ledger has expired"),
        _ => {}
    }
}

/// `exp` of a JWT without verifying the signature, which the API does; other tokens have no known expiry.
fn expiry_of(token: &[u8]) -> Option<Expiry> {
    #[derive(Deserialize)]
    struct Claims {
        exp: serde_json::Number,
        iat: Option<serde_json::Number>,
        #[serde(rename = "kubernetes.io")]
        kubernetes: Option<serde::de::IgnoredAny>,
    }
    let text = std::str::from_utf8(token).ok()?.trim();
    let mut parts = text.split('.');
    let (_, claims, _) = (parts.next()?, parts.next()?, parts.next()?);
    let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    let at = seconds(&claims.exp)?;
    let life = claims.iat.as_ref().and_then(seconds).map(|iat| at.saturating_sub(iat));
    Some(Expiry { at, renewed_life: life.filter(|_| claims.kubernetes.is_some()) })
}

/// A NumericDate without its fraction.
fn seconds(date: &serde_json::Number) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "the fraction is cut off")]
    date.as_i64().or_else(|| date.as_f64().map(|date| date as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str) -> Vec<u8> {
        format!("e30.{}.c2ln\n", URL_SAFE_NO_PAD.encode(claims)).into_bytes()
    }

    #[test]
    fn expiry_is_read_from_a_jwt_only() {
        let at = |claims: &str| expiry_of(&token(claims)).unwrap().at;
        assert_eq!(at(r#"{"exp":1900000000}"#), 1_900_000_000);
        assert_eq!(at(r#"{"exp":1900000000.5}"#), 1_900_000_000);
        for other in [token("{}"), token("{"), token(r#"{"exp":"soon"}"#), b"opaque".to_vec(), vec![0xff; 9]]
        {
            assert_eq!(expiry_of(&other), None);
        }
    }

    #[test]
    fn expiry_is_reported_seven_days_before() {
        let (path, now) = (Path::new("/token"), 1_800_000_000);
        let message = |left: i64| {
            let end = Expiry { at: now + left, renewed_life: None };
            State::of(Some(end), now).message(path, Some(end.at)).unwrap_or_default()
        };
        assert_eq!(message(7 * DAY + 1), "");
        assert!(
            message(7 * DAY).starts_with("good: the token in `/token` expires within 7 days, at 2027-01-22T")
        );
        assert!(message(6 * DAY).contains("within 6 days"));
        assert!(message(1).contains("within 1 day,"));
        assert!(
            message(0).starts_with("good: the token in `/token` expired at 2027-01-15T"),
            "{}",
            message(0)
        );
        assert_eq!(State::of(None, now).message(path, None), None);
    }

    #[test]
    fn renewed_token_is_reported_when_its_renewal_is_late() {
        let now = 1_800_000_000;
        let claims = |left: i64| {
            let (iat, exp) = (now + left - 3600, now + left);
            format!(r#"{{"iat":{iat},"exp":{exp},"kubernetes.io":{{"namespace":"portcullis"}}}}"#)
        };
        let state = |left: i64| State::of(expiry_of(&token(&claims(left))), now);
        assert_eq!((state(3599), state(361)), (State::Good, State::Good));
        assert_eq!((state(360), state(0)), (State::Days(1), State::Expired));
    }
}
