//! What is asked of a foreign token. Others may say more than we know; what we know must be there, once.

use serde::{Deserialize, Deserializer};

use crate::subject;
use crate::token::TokenError;
use crate::token::claims::in_time;

#[derive(Deserialize)]
pub(super) struct Claims {
    iss: String,
    aud: Audience,
    sub: String,
    exp: Seconds,
    nbf: Option<Seconds>,
    iat: Option<Seconds>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

/// RFC 7519 allows fractions; we round to whole seconds, and refuse what no clock will ever show.
struct Seconds(i64);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = serde_json::Number::deserialize(deserializer)?;
        let text = number.to_string();
        let whole = text.split(['.', 'e', 'E']).next().unwrap_or_default();
        let plain =
            number.as_i64().or_else(|| if text.contains(['e', 'E']) { None } else { whole.parse().ok() });
        let far = 1 << 40; // some 35,000 years
        match plain {
            Some(seconds) if (0..far).contains(&seconds) => Ok(Self(seconds)),
            _ => Err(serde::de::Error::custom("no time in seconds")),
        }
    }
}

impl Claims {
    /// Subject and end, once all of it has been found in order.
    pub(super) fn check(self, issuer: &str, audience: &str, now: i64) -> Result<(String, i64), TokenError> {
        if self.iss != issuer {
            return Err(TokenError::Issuer);
        }
        let ours = match &self.aud {
            Audience::One(one) => one == audience,
            Audience::Several(several) => several.iter().any(|one| one == audience),
        };
        if !ours {
            return Err(TokenError::Audience);
        }
        subject::check(&self.sub).map_err(|_| TokenError::Malformed("its subject is none"))?;
        let from = [self.nbf, self.iat].into_iter().flatten().map(|Seconds(at)| at).max().unwrap_or(0);
        let Seconds(until) = self.exp;
        in_time(from, until, now)?;
        Ok((self.sub, until))
    }
}
