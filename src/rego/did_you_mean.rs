//! Suggests the word that a misspelt one may mean.

/// The nearest of `words` within one edit per three letters, at most three. Case is ignored.
pub fn nearest<'w>(word: &str, words: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    let most = (word.chars().count() / 3).clamp(1, 3);
    let near = words.into_iter().filter(|other| *other != word).map(|other| (distance(word, other), other));
    near.filter(|(distance, other)| *distance <= most && *distance < other.chars().count())
        .min()
        .map(|(_, word)| word)
}

/// How many letters must be changed, inserted, removed or swapped with a neighbour, ignoring case.
fn distance(one: &str, other: &str) -> usize {
    strsim::osa_distance(&one.to_lowercase(), &other.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn typo_is_suggested_and_another_word_is_not() {
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
