//! Which word somebody may have meant.

/// The nearest of `words` that is a slip away: one letter in four, two letters exchanged counting as one; case counts
/// for nothing.
pub fn nearest<'w>(word: &str, words: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    let most = (word.chars().count() / 3).clamp(1, 3);
    let near = words.into_iter().filter(|other| *other != word).map(|other| (distance(word, other), other));
    near.filter(|(distance, other)| *distance <= most && *distance < other.chars().count())
        .min()
        .map(|(_, word)| word)
}

/// Letters to change, insert, remove or exchange with their neighbour, in any case.
pub fn distance(one: &str, other: &str) -> usize {
    strsim::osa_distance(&one.to_lowercase(), &other.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_is_forgiven_and_another_word_is_not() {
        let words = ["deny", "warn", "patch", "merge", "name", "namespace"];
        for (word, meant) in [
            ("denny", Some("deny")),
            ("dney", Some("deny")),
            ("Deny", Some("deny")),
            ("namespce", Some("namespace")),
            ("allow", None),
            ("deny", None),
            ("x", None),
        ] {
            assert_eq!(nearest(word, words), meant, "{word}");
        }
    }
}
