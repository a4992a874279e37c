//! What a tenant may pull from: granted inside the ceiling by administrators, narrowed by its owners.
//!
//! A grant is checked when it is written, but the ceiling above it and the grant above a narrowing may shrink later. So
//! what is in force is always met anew, and nobody has to hunt through tenants before cutting a registry off.

use super::image::Entry;
use super::snapshot::Registries;

/// What both lists admit: of two entries that overlap the narrower, at path boundaries; in the order of `list`.
pub fn meet(list: &[Entry], with: &[Entry]) -> Vec<Entry> {
    let mut met: Vec<Entry> = Vec::with_capacity(list.len());
    for entry in list {
        let narrower = with.iter().filter_map(|other| match () {
            () if entry.is_within(other) => Some(entry),
            () if other.is_within(entry) => Some(other),
            () => None,
        });
        for entry in narrower {
            if !met.contains(entry) {
                met.push(entry.clone());
            }
        }
    }
    met
}

/// What is in force: the grant, met with the ceiling and with what the owners narrowed it to. Without a grant there is
/// no registry policy, and a narrowing cannot make one.
pub fn effective(
    ceiling: &[Entry],
    granted: Option<&Registries>,
    narrowed: Option<&[Entry]>,
) -> Option<Registries> {
    let granted = match (granted?, narrowed) {
        (Registries::Inherit, None) => return Some(Registries::Inherit),
        (Registries::Inherit, Some(narrowed)) => return Some(Registries::List(meet(narrowed, ceiling))),
        (Registries::List(list), None) => list.clone(),
        (Registries::List(list), Some(narrowed)) => meet(narrowed, list),
    };
    Some(Registries::List(meet(&granted, ceiling)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(text: &str) -> Vec<Entry> {
        text.split_whitespace().map(|entry| Entry::parse(entry).unwrap()).collect()
    }

    #[track_caller]
    fn check(ceiling: &str, granted: Option<&str>, narrowed: Option<&str>, expected: Option<&str>) {
        let registries = |text: &str| match text {
            "inherit" => Registries::Inherit,
            list => Registries::List(entries(list)),
        };
        let narrowed = narrowed.map(entries);
        let granted = granted.map(registries);
        let found = effective(&entries(ceiling), granted.as_ref(), narrowed.as_deref());
        assert_eq!(found, expected.map(registries));
    }

    #[test]
    fn what_is_in_force() {
        let ceiling = "docker.io/library ghcr.io registry.example.com:5000/a";
        check(ceiling, None, None, None);
        check(ceiling, None, Some("ghcr.io"), None);
        check(ceiling, Some("inherit"), None, Some("inherit"));
        check(ceiling, Some("inherit"), Some("ghcr.io/acme quay.io"), Some("ghcr.io/acme"));
        check(ceiling, Some(""), None, Some(""));
        check(ceiling, Some("ghcr.io/acme"), None, Some("ghcr.io/acme"));
        check(ceiling, Some("ghcr.io/acme"), Some("ghcr.io/acme/web"), Some("ghcr.io/acme/web"));
        check(ceiling, Some("ghcr.io/acme"), Some("ghcr.io/acme2"), Some(""));
    }

    #[test]
    fn a_ceiling_that_fell_cuts_what_was_granted_before() {
        check("docker.io/library", Some("docker.io ghcr.io"), None, Some("docker.io/library"));
        check("", Some("docker.io"), None, Some(""));
        check("ghcr.io/acme/web", Some("ghcr.io"), Some("ghcr.io/acme"), Some("ghcr.io/acme/web"));
    }

    #[test]
    fn entries_meet_at_path_boundaries() {
        assert_eq!(meet(&entries("ghcr.io/a"), &entries("ghcr.io/ab ghcr.io:443/a docker.io/a")), []);
        assert_eq!(
            meet(&entries("ghcr.io ghcr.io"), &entries("ghcr.io/a ghcr.io/b")),
            entries("ghcr.io/a ghcr.io/b")
        );
    }
}
