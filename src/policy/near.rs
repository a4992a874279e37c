//! Which word somebody may have meant.

/// The nearest of `words` that is a slip away: one letter in four, two letters exchanged counting as one; case counts
/// for nothing.
pub(super) fn nearest<'w>(word: &str, words: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    let most = (word.chars().count() / 3).clamp(1, 3);
    let near = words.into_iter().filter(|other| *other != word).map(|other| (distance(word, other), other));
    near.filter(|(distance, other)| *distance <= most && *distance < other.chars().count())
        .min()
        .map(|(_, word)| word)
}

/// Letters to change, add, take away or exchange with their neighbour to come from one word to the other.
pub(super) fn distance(one: &str, other: &str) -> usize {
    let letters = |word: &str| word.to_lowercase().chars().collect::<Vec<char>>();
    let (one, other) = (letters(one), letters(other));
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (i, letter) in one.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, wanted) in other.iter().enumerate() {
            let at = |row: &[usize], index: usize| row.get(index).copied().unwrap_or(usize::MAX - 1);
            let changed = at(&last, j) + usize::from(letter != wanted);
            let mut least = changed.min(at(&last, j + 1) + 1).min(at(&row, j) + 1);
            let exchanged =
                i > 0 && j > 0 && one.get(i - 1) == Some(wanted) && other.get(j - 1) == Some(letter);
            if exchanged {
                least = least.min(at(&before, j - 1) + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(0)
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
