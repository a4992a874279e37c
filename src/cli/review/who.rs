//! Who asks: what `--as` says, as the API server would complete it, or whom the namespace suggests.

use portcullis_admission::World;
use portcullis_admission::cases::{People, Person};

/// What every authenticated requester is in.
const AUTHENTICATED: &str = "system:authenticated";

/// A person, and why that one; empty where the caller said it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requester {
    /// Username and groups.
    pub person: Person,
    /// What was assumed, for a note.
    pub assumed: Option<String>,
}

/// The person of `--as` and `--as-group`: a short name of the cast, or a username.
pub fn named(name: &str, groups: &[String], people: &People) -> Person {
    if let (Some(person), true) = (people.get(name), groups.is_empty()) {
        return person.clone();
    }
    // What impersonation adds: a service account's own groups where none were given, and that somebody was authenticated.
    let mut groups = groups.to_vec();
    let account = name.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
    if let (Some((namespace, _)), true) = (account, groups.is_empty()) {
        groups.extend(["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")]);
    }
    if name != "system:anonymous" && !groups.iter().any(|group| group == AUTHENTICATED) {
        groups.push(AUTHENTICATED.to_owned());
    }
    Person { username: name.to_owned(), groups }
}

/// Nobody was named: one of the namespace's own tenant asks, since whether a stranger may is rarely the question.
pub fn of_namespace(world: &World, namespace: &str) -> Requester {
    let snapshot = &world.snapshot;
    let owner = snapshot.namespace(namespace).and_then(|known| snapshot.tenants.get_key_value(&known.tenant));
    let group = owner.and_then(|(slug, tenant)| Some((slug, tenant.groups.first()?)));
    let Some((slug, group)) = group else {
        let place = if namespace.is_empty() {
            "a cluster-scoped object".to_owned()
        } else {
            format!("namespace `{namespace}`")
        };
        let assumed = format!(
            "no --as: {place} belongs to no tenant, so somebody unknown asks (user `kubectl`, group `{AUTHENTICATED}`)"
        );
        return Requester { person: named("kubectl", &[], &People::new()), assumed: Some(assumed) };
    };
    let username = format!("tenant:{slug}");
    let assumed = format!("no --as: one of tenant {slug} asks (user `{username}`, group `{group}`)");
    Requester { person: named(&username, &[group.to_string()], &People::new()), assumed: Some(assumed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, groups: &[&str], expected: &[&str]) {
        let groups: Vec<String> = groups.iter().map(ToString::to_string).collect();
        let people = People::from([(
            "dev".to_owned(),
            Person { username: "d@x".to_owned(), groups: vec!["devs".to_owned()] },
        )]);
        let person = named(name, &groups, &people);
        let found: Vec<&str> = std::iter::once(person.username.as_str())
            .chain(person.groups.iter().map(String::as_str))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn groups_are_completed_as_impersonation_does() {
        check("dev", &[], &["d@x", "devs"]);
        check("dev", &["a"], &["dev", "a", "system:authenticated"]);
        check("bob", &[], &["bob", "system:authenticated"]);
        check("system:anonymous", &[], &["system:anonymous"]);
        check(
            "system:serviceaccount:ns:sa",
            &[],
            &[
                "system:serviceaccount:ns:sa",
                "system:serviceaccounts",
                "system:serviceaccounts:ns",
                "system:authenticated",
            ],
        );
    }
}
