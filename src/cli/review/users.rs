//! The user of a request: from `--as`, completed as impersonation does, or a default from the namespace.

use portcullis_admission::PreparedSnapshot;
use portcullis_admission::cases::{TestUsers, User};

const AUTHENTICATED: &str = "system:authenticated";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requester {
    pub person: User,
    /// Text of a note about the default; `None` if the caller named the user.
    pub assumed: Option<String>,
}

/// A test user of that name if no group is given, else the username with the groups that impersonation adds.
pub fn named(name: &str, groups: &[String], people: &TestUsers) -> User {
    if let (Some(person), true) = (people.get(name), groups.is_empty()) {
        return person.clone();
    }
    // The API server adds a service account's own groups if none are given, and the group of authenticated users.
    let mut groups = groups.to_vec();
    let account = name.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
    if let (Some((namespace, _)), true) = (account, groups.is_empty()) {
        groups.extend(["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")]);
    }
    if name != "system:anonymous" && !groups.iter().any(|group| group == AUTHENTICATED) {
        groups.push(AUTHENTICATED.to_owned());
    }
    User { username: name.to_owned(), groups }
}

/// By default a user of the namespace's tenant, because the usual question is whether the tenant may do it.
pub fn of_namespace(tenancy: &PreparedSnapshot, namespace: &str) -> Requester {
    let snapshot = &tenancy.snapshot;
    let owner = snapshot.namespace(namespace).and_then(|known| snapshot.tenants.get_key_value(&known.tenant));
    let group = owner.and_then(|(slug, tenant)| Some((slug, tenant.groups.first()?)));
    let Some((slug, group)) = group else {
        let place = if namespace.is_empty() {
            "a cluster-scoped object".to_owned()
        } else {
            format!("namespace `{namespace}`")
        };
        let assumed = format!(
            "no --as: {place} belongs to no tenant; the request is made as an unknown user (user `kubectl`, group `{AUTHENTICATED}`)"
        );
        return Requester { person: named("kubectl", &[], &TestUsers::new()), assumed: Some(assumed) };
    };
    let username = format!("tenant:{slug}");
    let assumed = format!(
        "no --as: the request is made as a user of tenant {slug} (user `{username}`, group `{group}`)"
    );
    Requester { person: named(&username, &[group.to_string()], &TestUsers::new()), assumed: Some(assumed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, groups: &[&str], expected: &[&str]) {
        let groups: Vec<String> = groups.iter().map(ToString::to_string).collect();
        let people = TestUsers::from([(
            "dev".to_owned(),
            User { username: "d@x".to_owned(), groups: vec!["devs".to_owned()] },
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
