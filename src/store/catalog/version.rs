//! Which of an item's versions is the newest.

use semver::Version;

/// The newest by the precedence of semver; of versions that differ in build metadata alone, the one made last, and of
/// those made in the same moment the last of them. Versions are checked before they are kept, so what does not parse is
/// none.
pub fn newest<'a, T>(
    versions: impl IntoIterator<Item = &'a T>,
    text: impl Fn(&'a T) -> (&'a str, i64),
) -> Option<&'a T> {
    let parsed = versions.into_iter().filter_map(|item| Some((Version::parse(text(item).0).ok()?, item)));
    let newest = parsed
        .max_by(|(a, one), (b, other)| a.cmp_precedence(b).then_with(|| text(one).1.cmp(&text(other).1)));
    newest.map(|(_, item)| item)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(versions: &[(&'static str, i64)], expected: Option<&str>) {
        let found = newest(versions, |(version, at)| (version, *at));
        assert_eq!(found.map(|(version, _)| *version), expected, "{versions:?}");
    }

    #[test]
    fn by_precedence_then_by_time() {
        check(&[], None);
        check(&[("1.2.0", 1), ("1.10.0", 2), ("1.9.0", 3)], Some("1.10.0"));
        check(&[("2.0.0-rc.1", 2), ("1.0.0", 1)], Some("2.0.0-rc.1"));
        check(&[("2.0.0-rc.1", 2), ("2.0.0", 1)], Some("2.0.0"));
        check(&[("1.0.0+z", 1), ("1.0.0+a", 2)], Some("1.0.0+a"));
        check(&[("1.0.0+a", 2), ("1.0.0+z", 1)], Some("1.0.0+a"));
        check(&[("1.0.0+z", 1), ("1.0.0+a", 1)], Some("1.0.0+a"));
        check(&[("nonsense", 9), ("0.0.1", 1)], Some("0.0.1"));
    }
}
