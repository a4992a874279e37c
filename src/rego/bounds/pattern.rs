//! How much a pattern can make of a text.

use regex_syntax::hir::{Hir, HirKind};
use regorus::Value;

use super::{Cost, GLOB_BYTES_MAX, PATTERN_BYTES_MAX, each, text_at};

/// Texts of one character that a glob may name as ends of a part.
const DELIMITERS_MAX: usize = 16;
/// States that a character of a glob stands for.
const GLOB_STATES: usize = 8;

/// Each state is tried on each byte, at worst.
pub fn glob(args: &[Value]) -> Result<Cost, String> {
    let (pattern, text) = (text_at(args, 0), text_at(args, 2));
    if pattern.len() > GLOB_BYTES_MAX {
        return Err(format!(
            "a glob of {} bytes is not read; at most {GLOB_BYTES_MAX} are allowed",
            pattern.len()
        ));
    }
    // OPA matches it with nothing, and the engine with no text at all.
    if ["{,", ",,", ",}", "{}"].iter().any(|empty| pattern.contains(empty)) {
        return Err(format!("an empty alternative in the glob `{pattern}` is not read; write two globs"));
    }
    let mut delimiters = 0;
    each(args.get(1), |_| delimiters += 1);
    if delimiters > DELIMITERS_MAX {
        return Err(format!(
            "`glob.match` takes at most {DELIMITERS_MAX} delimiters, and is given {delimiters}"
        ));
    }
    let longer = text.len().saturating_mul(1 + 2 * delimiters);
    let states = pattern.len().saturating_mul(GLOB_STATES * (1 + 2 * delimiters));
    Ok(Cost { bytes: longer, steps: states.saturating_mul(longer) })
}

/// Whether a regular expression is short enough to be compiled.
pub fn fits(pattern: &str) -> Result<(), String> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(format!(
            "a pattern of {} bytes is not compiled; at most {PATTERN_BYTES_MAX} are allowed",
            pattern.len()
        ));
    }
    Ok(())
}

/// About as many states as a pattern is compiled to. One that is none has as many as it has bytes.
pub fn states_of(pattern: &str) -> usize {
    regex_syntax::parse(pattern).map_or(pattern.len(), |hir| states(&hir))
}

fn states(hir: &Hir) -> usize {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => 1,
        HirKind::Literal(literal) => literal.0.len(),
        HirKind::Class(_) => 4,
        HirKind::Repetition(repetition) => {
            let times = repetition.max.unwrap_or(repetition.min.saturating_add(1)).max(1);
            states(&repetition.sub)
                .saturating_mul(usize::try_from(times).unwrap_or(usize::MAX))
                .saturating_add(1)
        }
        HirKind::Capture(capture) => states(&capture.sub).saturating_add(2),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().fold(1, |sum, part| sum.saturating_add(states(part)))
        }
    }
}
