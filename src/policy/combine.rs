//! How values of one parameter meet: each parameter's schema says it with the word `combine`, and a tenant may only
//! tighten.

use serde_json::Value as Json;

/// The word of a parameter's schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Combine {
    /// Lists of what is allowed: what both have.
    Intersect,
    /// Lists of what is refused: what either has.
    Union,
    /// Upper bounds: the smaller number.
    Min,
    /// Lower bounds: the larger number.
    Max,
    /// Switches that allow: true where both are.
    And,
    /// Switches that demand: true where either is.
    Or,
    /// Only the platform sets it; the default.
    PlatformOnly,
}

/// Why a value cannot meet another.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CombineError {
    /// The parameter is the platform's alone.
    #[error("only the platform sets it")]
    PlatformOnly,
    /// There is nothing to tighten.
    #[error("the platform sets no value that could be tightened")]
    NoBase,
    /// A value of another shape than the word works on.
    #[error("`{word}` combines {wanted}, found {found}")]
    Shape {
        /// The word of the schema.
        word: &'static str,
        /// What it works on.
        wanted: &'static str,
        /// What was there, shortened.
        found: String,
    },
    /// It would allow more than what is above it.
    #[error("it does not tighten: {found} goes beyond {base}")]
    Loosens {
        /// What was asked for, shortened.
        found: String,
        /// What is in force above it, shortened.
        base: String,
    },
}

impl Combine {
    /// Every word, in the order of the documentation.
    pub const ALL: &[Self] =
        &[Self::Intersect, Self::Union, Self::Min, Self::Max, Self::And, Self::Or, Self::PlatformOnly];

    /// The word as schemas have it.
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

    /// The variant of a word; exact.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|known| known.as_str() == word)
    }

    /// What holds where both values are asked for; never looser than `base`.
    ///
    /// # Errors
    /// The parameter is the platform's, or a value has the wrong shape.
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
            Self::And => self.both(base, own, "switches", Json::as_bool).map(|(a, b)| Json::Bool(a && b)),
            Self::Or => self.both(base, own, "switches", Json::as_bool).map(|(a, b)| Json::Bool(a || b)),
            Self::PlatformOnly => Err(CombineError::PlatformOnly),
        }
    }

    /// Whether `own` asks for no more than `base` allows.
    ///
    /// # Errors
    /// It does, or it cannot be told.
    pub fn check(self, base: Option<&Json>, own: &Json) -> Result<(), CombineError> {
        let joined = self.join(base, own)?;
        // A list says the same in any order and however often; a union of more is what `own` may leave out.
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
        wanted: &'static str,
        read: impl Fn(&'a Json) -> Option<T>,
    ) -> Result<(T, T), CombineError> {
        let shape = |value: &Json| CombineError::Shape { word: self.as_str(), wanted, found: shown(value) };
        Ok((read(base).ok_or_else(|| shape(base))?, read(own).ok_or_else(|| shape(own))?))
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
