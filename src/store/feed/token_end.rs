//! When the token of `--ledger-token` ends, as `/readyz`, the metrics and the log say it.
//!
//! A gate whose token has ended goes on deciding by what it has, so only this says that its snapshot will grow old.

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

/// How often the file is read: a token that is replaced is seen as soon as that.
const TICK: Duration = Duration::from_secs(5);

/// From so many seconds before its end on, the token's end is said.
const SOON: i64 = 7 * DAY;

const DAY: i64 = 86_400;

/// Follows the end of the token in a file, until told to stop.
///
/// # Errors
/// Never; a task that ends is a task that died.
pub async fn watch(path: PathBuf, condition: Condition, stop: CancellationToken) -> Result<(), Infallible> {
    let mut known = None;
    loop {
        let found = tokio::fs::read(&path).await.ok().and_then(|token| end(&token));
        let state = State::of(found, Timestamp::now().as_second());
        // A token that is renewed ends within the hour, always; only that it is not renewed is worth a word.
        let end = found.filter(|end| !end.is_renewed() || state != State::Good).map(|end| end.at);
        metrics::ledger_token_expiry(end);
        let said = state.say(&path, end);
        let _ = match &said {
            Some(reason) => condition.good_but(reason.clone()),
            None => condition.good(),
        };
        if known != Some(state) {
            log(state, said.as_deref());
            known = Some(state);
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(TICK) => {}
        }
    }
}

/// When a token ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct End {
    at: i64,
    /// For a token of a projected volume, which the kubelet renews after four fifths of its life: its life in seconds.
    renewed_life: Option<i64>,
}

impl End {
    const fn is_renewed(self) -> bool {
        self.renewed_life.is_some()
    }

    /// From so many seconds before on it is said.
    fn soon(self) -> i64 {
        self.renewed_life.map_or(SOON, |life| (life / 10).clamp(0, SOON))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The token ends later than in seven days, or does not say when.
    Good,
    /// The token ends within so many days.
    Days(i64),
    Ended,
}

impl State {
    fn of(end: Option<End>, now: i64) -> Self {
        let Some(end) = end else { return Self::Good };
        match end.at.saturating_sub(now) {
            left if left <= 0 => Self::Ended,
            left if left <= end.soon() => Self::Days((left - 1) / DAY + 1),
            _ => Self::Good,
        }
    }

    fn say(self, path: &Path, end: Option<i64>) -> Option<String> {
        let at = end.and_then(|end| Timestamp::from_second(end).ok())?;
        let path = path.display();
        match self {
            Self::Good => None,
            Self::Days(1) => Some(format!("good: the token in `{path}` ends within 1 day, at {at}")),
            Self::Days(days) => Some(format!("good: the token in `{path}` ends within {days} days, at {at}")),
            Self::Ended => Some(format!(
                "good: the token in `{path}` ended at {at}; the ledger refuses it, and the gate decides by what it has"
            )),
        }
    }
}

fn log(state: State, said: Option<&str>) {
    match (state, said) {
        (State::Days(days), Some(reason)) => tracing::warn!(days, reason, "the ledger's token ends soon"),
        (State::Ended, Some(reason)) => tracing::error!(reason, "the ledger's token has ended"),
        _ => {}
    }
}

/// The `exp` of a JWT in seconds since 1970, read without a check of its signature: the API verifies it. Another kind of
/// token does not say when it ends.
fn end(token: &[u8]) -> Option<End> {
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
    Some(End { at, renewed_life: life.filter(|_| claims.kubernetes.is_some()) })
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
    fn end_is_read_from_a_jwt_and_from_nothing_else() {
        let at = |claims: &str| end(&token(claims)).unwrap().at;
        assert_eq!(at(r#"{"exp":1900000000}"#), 1_900_000_000);
        assert_eq!(at(r#"{"exp":1900000000.5}"#), 1_900_000_000);
        for other in [token("{}"), token("{"), token(r#"{"exp":"soon"}"#), b"opaque".to_vec(), vec![0xff; 9]]
        {
            assert_eq!(end(&other), None);
        }
    }

    #[test]
    fn end_is_said_from_seven_days_before_on() {
        let (path, now) = (Path::new("/token"), 1_800_000_000);
        let said = |left: i64| {
            let end = End { at: now + left, renewed_life: None };
            State::of(Some(end), now).say(path, Some(end.at)).unwrap_or_default()
        };
        assert_eq!(said(7 * DAY + 1), "");
        assert!(said(7 * DAY).starts_with("good: the token in `/token` ends within 7 days, at 2027-01-22T"));
        assert!(said(6 * DAY).contains("within 6 days"));
        assert!(said(1).contains("within 1 day,"));
        assert!(said(0).starts_with("good: the token in `/token` ended at 2027-01-15T"), "{}", said(0));
        assert_eq!(State::of(None, now).say(path, None), None);
    }

    /// One of a projected volume lives for an hour and is renewed; only one that is not is worth a word.
    #[test]
    fn a_token_that_the_kubelet_renews_is_said_when_it_is_late() {
        let now = 1_800_000_000;
        let claims = |left: i64| {
            let (iat, exp) = (now + left - 3600, now + left);
            format!(r#"{{"iat":{iat},"exp":{exp},"kubernetes.io":{{"namespace":"portcullis"}}}}"#)
        };
        let state = |left: i64| State::of(end(&token(&claims(left))), now);
        assert_eq!((state(3599), state(361)), (State::Good, State::Good));
        assert_eq!((state(360), state(0)), (State::Days(1), State::Ended));
    }
}
