//! Registries that a tenant may pull from: administrators grant them inside the ceiling, owners narrow them.
//!
//! Ceiling and grant may shrink after a grant was checked, so the registries in force are computed at each use.

use super::image::RegistryEntry;
use super::snapshot::Registries;

/// What both lists admit: of two overlapping entries the narrower, at path boundaries, in the order of `list`.
pub fn meet(list: &[RegistryEntry], with: &[RegistryEntry]) -> Vec<RegistryEntry> {
    let mut met: Vec<RegistryEntry> = Vec::with_capacity(list.len());
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

/// The registries in force: the grant, limited by the ceiling and by what the owners narrowed it to. Without a grant
/// there is no registry policy.
pub fn effective(
    ceiling: &[RegistryEntry],
    granted: Option<&Registries>,
    narrowed: Option<&[RegistryEntry]>,
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

    fn entries(text: &str) -> Vec<RegistryEntry> {
        text.split_whitespace().map(|entry| RegistryEntry::parse(entry).unwrap()).collect()
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
    fn effective_registries_are_grant_narrowing_and_ceiling() {
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
    fn lower_ceiling_limits_existing_grants() {
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
