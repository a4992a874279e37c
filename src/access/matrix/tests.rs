use std::collections::BTreeSet;

use super::*;

#[test]
fn each_action_and_each_route_stand_once() {
    let mut names = BTreeSet::new();
    let mut routes = BTreeSet::new();
    for rule in RULES {
        assert_eq!(super::rule(rule.action), *rule);
        assert!(names.insert(rule.action.as_str()), "{} twice", rule.action);
        for path in [Some(rule.path), rule.alias].into_iter().flatten() {
            assert!(routes.insert((rule.method, path)), "{} {path} twice", rule.method);
            assert!(path.starts_with('/') && !path.ends_with('/'), "{path}");
        }
        assert!(!rule.what.is_empty() && !rule.what.ends_with('.'), "{}: `{}`", rule.action, rule.what);
    }
}

#[test]
fn admin_may_everything_and_gate_two_actions() {
    assert!(RULES.iter().all(|rule| matches!(rule.may(Role::Admin), May::Yes | May::Open)));
    let gate: Vec<&str> = RULES
        .iter()
        .filter(|rule| !rule.is_open() && rule.may(Role::Service) != May::No)
        .map(|rule| rule.action.as_str())
        .collect();
    assert_eq!(gate, ["policy.revision", "snapshot.get"]);
}

#[test]
fn open_is_open_to_all_and_never_changes_anything() {
    for rule in RULES {
        let open = Role::ALL.iter().filter(|role| rule.may(**role) == May::Open).count();
        assert!(open == 0 || open == Role::ALL.len(), "{}: open to some", rule.action);
        assert!(open == 0 || rule.method == Method::Get && !rule.names_tenant(), "{} is open", rule.action);
    }
}

#[test]
fn who_reads_writes_nothing_but_the_end_of_its_own_tokens() {
    let written: Vec<&str> = RULES
        .iter()
        .filter(|rule| rule.method != Method::Get)
        .filter(|rule| rule.may(Role::ReadOnly) != May::No || rule.may(Role::Service) != May::No)
        .map(|rule| rule.action.as_str())
        .collect();
    assert_eq!(written, ["token.revoke"]);
}

#[test]
fn weaker_role_has_no_extra_rights() {
    for rule in RULES {
        let ladder = [Role::Admin, Role::TenantOwner, Role::ProjectDev, Role::ReadOnly];
        for (stronger, weaker) in ladder.iter().zip(&ladder[1..]) {
            let skipped = rule.may(*stronger) == May::No && rule.may(*weaker) != May::No;
            assert!(!skipped, "{}: {weaker} may, {stronger} may not", rule.action);
        }
    }
}

#[test]
fn whoever_can_be_limited_to_projects_is_where_the_path_names_one() {
    let limited = |may| matches!(may, May::No | May::Limited(Limit::OwnProjects | Limit::SandboxSetting));
    for rule in RULES.iter().filter(|rule| rule.names_project()) {
        assert!(rule.names_tenant(), "{}: a project without its tenant", rule.action);
        for role in [Role::ProjectDev, Role::ReadOnly] {
            assert!(limited(rule.may(role)), "{}: {role} is not limited to its projects", rule.action);
        }
    }
}

#[test]
fn every_route_of_a_tenant_can_be_printed() {
    let text = markdown();
    assert_eq!(text.lines().count(), RULES.len() + 2);
    assert!(text.lines().all(|line| line.matches('|').count() == 9), "a cell holds a bar:\n{text}");
}
