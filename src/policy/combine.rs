//! How a tenant's value of a parameter combines with the platform's. `combine` in the parameter's schema names the rule; a
//! tenant can only tighten.

use serde_json::Value as Json;

/// The value of `combine` in a parameter's schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Combine {
    /// Lists of allowed values: the entries of both.
    Intersect,
    /// Lists of forbidden values: the entries of either.
    Union,
    /// Upper bounds: the smaller number.
    Min,
    /// Lower bounds: the larger number.
    Max,
    /// Booleans that allow: true where both are.
    And,
    /// Booleans that require: true where either is.
    Or,
    /// Only the platform sets it; the default.
    PlatformOnly,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CombineError {
    #[error("only the platform sets it")]
    PlatformOnly,
    #[error("the platform sets no value to tighten")]
    NoBase,
    #[error("`{word}` combines {expected}, found {found}")]
    WrongType { word: &'static str, expected: &'static str, found: String },
    #[error("it does not tighten: {found} allows more than {base}")]
    Loosens { found: String, base: String },
}

impl Combine {
    pub const ALL: &[Self] =
        &[Self::Intersect, Self::Union, Self::Min, Self::Max, Self::And, Self::Or, Self::PlatformOnly];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Intersect => "intersect",
            Self::Union => "union",
            Self::Min => "min",
            Self::Max => "max",
            Self::And => "and",
            Self::Or => "or",
            Self::PlatformOnly => "platform-only",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|known| known.as_str() == word)
    }

    /// The combined value; never looser than `base`.
    pub fn join(self, base: Option<&Json>, own: &Json) -> Result<Json, CombineError> {
        if self == Self::PlatformOnly {
            return Err(CombineError::PlatformOnly);
        }
        let base = base.ok_or(CombineError::NoBase)?;
        match self {
            Self::Intersect => {
                let (base, own) = self.both(base, own, "lists", Json::as_array)?;
                Ok(base.iter().filter(|item| own.contains(item)).cloned().collect())
            }
            Self::Union => {
                let (base, own) = self.both(base, own, "lists", Json::as_array)?;
                Ok(base.iter().chain(own.iter().filter(|item| !base.contains(item))).cloned().collect())
            }
            Self::Min | Self::Max => {
                let (below, above) = self.both(base, own, "numbers", Json::as_f64)?;
                let own_wins = if self == Self::Min { above < below } else { above > below };
                Ok(if own_wins { own.clone() } else { base.clone() })
            }
            Self::And => self.both(base, own, "booleans", Json::as_bool).map(|(a, b)| Json::Bool(a && b)),
            Self::Or => self.both(base, own, "booleans", Json::as_bool).map(|(a, b)| Json::Bool(a || b)),
            Self::PlatformOnly => Err(CombineError::PlatformOnly),
        }
    }

    /// Refuses a value that would loosen `base`.
    pub fn check(self, base: Option<&Json>, own: &Json) -> Result<(), CombineError> {
        let joined = self.join(base, own)?;
        // Order and repeats in a list do not matter. A union cannot loosen, whatever `own` leaves out.
        let tightens = match (self, own.as_array(), joined.as_array()) {
            (Self::Intersect, Some(own), Some(joined)) => own.iter().all(|item| joined.contains(item)),
            (Self::Union, ..) => true,
            _ => joined == *own,
        };
        if tightens {
            return Ok(());
        }
        Err(CombineError::Loosens { found: shown(own), base: base.map(shown).unwrap_or_default() })
    }

    fn both<'a, T>(
        self,
        base: &'a Json,
        own: &'a Json,
        expected: &'static str,
        read: impl Fn(&'a Json) -> Option<T>,
    ) -> Result<(T, T), CombineError> {
        let wrong =
            |value: &Json| CombineError::WrongType { word: self.as_str(), expected, found: shown(value) };
        Ok((read(base).ok_or_else(|| wrong(base))?, read(own).ok_or_else(|| wrong(own))?))
    }
}

/// A value as messages carry it, 120 characters at most.
fn shown(value: &Json) -> String {
    let text = value.to_string();
    match text.char_indices().nth(120) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text,
    }
}

#[cfg(test)]
mod tests;
