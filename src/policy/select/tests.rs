use super::*;
use proptest::prelude::*;

fn entry(operations: &[Operation], patterns: &[&str], kinds: &[Kind]) -> Match {
    Match {
        operations: operations.to_vec(),
        resources: patterns.iter().map(|text| Pattern::parse(text).unwrap()).collect(),
        namespaces: kinds.to_vec(),
    }
}

/// A query written as `deployments.apps/scale`.
fn query(text: &str) -> Query<'_> {
    let (whole, subresource) = text.split_once('/').unwrap_or((text, ""));
    let (resource, group) = whole.split_once('.').unwrap_or((whole, ""));
    Query { operation: Operation::Update, group, resource, subresource, kind: Kind::App, layout: None }
}

fn index(items: &[&[&str]]) -> Index {
    let mut index = Index::default();
    for (item, patterns) in items.iter().enumerate() {
        index.add(item, &[entry(&[Operation::Update], patterns, &[Kind::App])]);
    }
    index
}

/// Which of the items, each a list of patterns, are found.
fn check(items: &[&[&str]], found: &[(&str, &[usize])]) {
    let index = index(items);
    for (text, expected) in found {
        assert_eq!(index.find(&query(text)), *expected, "{text}");
    }
}

#[test]
fn only_matching_items_are_found() {
    check(
        &[
            &["pods"],
            &["deployments.apps"],
            &["*/scale"],
            &["*.oam.dev"],
            &["*.oam.dev/*"],
            &["*/*"],
            &["*"],
            &["pods/*"],
            &["deployments.apps/scale"],
        ],
        &[
            ("pods", &[0, 5, 6, 7]),
            ("pods/exec", &[5, 7]),
            ("pods.metrics.k8s.io", &[5, 6]),
            ("deployments", &[5, 6]),
            ("deployments.apps", &[1, 5, 6]),
            ("deployments.apps/scale", &[2, 5, 8]),
            ("deployments.apps/status", &[5]),
            ("replicationcontrollers/scale", &[2, 5]),
            ("applications.core.oam.dev", &[3, 4, 5, 6]),
            ("applications.core.oam.dev/status", &[4, 5]),
            ("x.oam.dev", &[3, 4, 5, 6]),
            ("x.foam.dev", &[5, 6]),
            ("x.oam.dev.io", &[5, 6]),
        ],
    );
}

#[test]
fn requests_without_a_match_find_nothing() {
    check(
        &[&["pods"], &["*.oam.dev/*"], &["*/scale"]],
        &[("services", &[]), ("pods/exec", &[]), ("pods.x.io", &[]), ("x.evil-oam.dev", &[]), ("", &[])],
    );
    check(&[], &[("pods", &[])]);
}

#[test]
fn item_that_matches_twice_is_found_once() {
    check(&[&["*/*", "pods", "*", "pods/*", "pods"], &["pods"]], &[("pods", &[0, 1])]);
    let mut index = Index::default();
    let one = entry(&[Operation::Update, Operation::Update], &["pods"], &[Kind::App, Kind::App]);
    index.add(0, &[one.clone(), one]);
    assert_eq!(index.find(&query("pods")), [0]);
}

#[test]
fn operation_and_kind_both_count() {
    let mut index = Index::default();
    index.add(
        0,
        &[
            entry(&[Operation::Create], &["pods"], &[Kind::App]),
            entry(&[Operation::Delete], &["pods"], &[Kind::Sandbox, Kind::Cluster]),
        ],
    );
    for operation in Operation::ALL {
        for kind in Kind::ALL {
            let found = index.find(&Query { operation: *operation, kind: *kind, ..query("pods") });
            let expected = match (operation, kind) {
                (Operation::Create, Kind::App) | (Operation::Delete, Kind::Sandbox | Kind::Cluster) => {
                    vec![0]
                }
                _ => vec![],
            };
            assert_eq!(found, expected, "{operation} {kind:?}");
        }
    }
}

#[test]
fn different_resources_have_different_plans() {
    let (real, forged) = (
        Query { resource: "roles", group: "rbac.authorization.k8s.io", ..query("") },
        Query { resource: "roles.rbac", group: "authorization.k8s.io", ..query("") },
    );
    let plans = PlanCache::default();
    let made = |query: &Query<'_>, item: usize| {
        let make = |policies, broken| Plan { policies, broken, ..Plan::default() };
        plans.get(query, || (vec![item], vec![]), make).policies.clone()
    };
    assert_eq!(made(&forged, 7), [7]);
    assert_eq!(made(&real, 1), [1]);
    assert_eq!(made(&real, 2), [1], "a plan is made once");
    assert_eq!(made(&forged, 2), [7]);
}

#[test]
fn invented_names_share_a_plan_and_do_not_evict_real_ones() {
    let plans = PlanCache::default();
    let (finds, makes) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
    let get = |query: &Query<'_>| {
        let find = || {
            finds.set(finds.get() + 1);
            (vec![1], vec![])
        };
        plans.get(query, find, |policies, broken| {
            makes.set(makes.get() + 1);
            Plan { policies, broken, ..Plan::default() }
        })
    };
    let real: Vec<String> = (0..300).map(|at| format!("real{at}")).collect();
    for _ in 0..3 {
        real.iter().for_each(|name| drop(get(&query(name))));
    }
    let known = finds.get();
    assert_eq!((known, makes.get()), (300, 1));
    let first = get(&query("real0"));
    for at in 0..50_000 {
        let name = format!("invented{at}");
        assert!(Arc::ptr_eq(&first, &get(&query(&name))));
        get(&query(&real[at % real.len()]));
    }
    assert_eq!(makes.get(), 1, "a plan is made once, whatever the names are");
    assert_eq!(finds.get(), known + 50_000, "what is asked again stays known");
    assert!(plans.names.len() <= NAMES_MAX, "{}", plans.names.len());
    let long = "x".repeat(12 << 20);
    get(&query(&long));
    get(&query(&long));
    assert_eq!(finds.get(), known + 50_002, "a name beyond Kubernetes' bounds is not kept");
}

#[test]
fn resources_with_different_layouts_have_different_plans() {
    let plans = PlanCache::default();
    let get = |layout| {
        let query = Query { layout, ..query("pods") };
        plans.get(
            &query,
            || (vec![1], vec![]),
            |policies, broken| Plan { policies, broken, ..Plan::default() },
        )
    };
    let layouts: [Option<&'static [&'static str]>; 4] =
        [None, Some(&[]), Some(&["template"]), Some(&["spec", "template"])];
    for (at, one) in layouts.iter().enumerate() {
        for (other_at, other) in layouts.iter().enumerate() {
            assert_eq!(Arc::ptr_eq(&get(*one), &get(*other)), at == other_at, "{one:?} {other:?}");
        }
    }
}

proptest! {
    #[test]
    fn the_index_agrees_with_asking_every_pattern(
        items in prop::collection::vec(prop::collection::vec(
            ("(\\*|[ab])", prop::option::of("[xy](\\.[xy]){0,2}"), prop::option::of("(\\*|[st])")), 1..4), 0..8),
        resource in "[ab](\\.[xy])?", group in "([xy](\\.[xy]){0,3})?", subresource in "[st]?",
    ) {
        let patterns: Vec<Vec<Pattern>> = items.iter().map(|item| item.iter().map(|(resource, group, sub)| {
            let mut text = resource.clone();
            text.extend(group.iter().flat_map(|group| [".", group]));
            text.extend(sub.iter().flat_map(|sub| ["/", sub]));
            Pattern::parse(&text).unwrap()
        }).collect()).collect();
        let mut index = Index::default();
        for (at, item) in patterns.iter().enumerate() {
            let all = Match { resources: item.clone(), ..entry(&[Operation::Update], &[], &[Kind::App]) };
            index.add(at, &[all]);
        }
        let query = Query { resource: &resource, group: &group, subresource: &subresource, ..query("") };
        let scanned: Vec<usize> = (0..patterns.len())
            .filter(|at| patterns[*at].iter().any(|pattern| pattern.matches(&group, &resource, &subresource)))
            .collect();
        prop_assert_eq!(index.find(&query), scanned);
    }
}
