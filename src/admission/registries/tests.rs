use portcullis_tenancy::example;
use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::tests::{NAMESPACE, review};
use crate::{Endpoint, PreparedSnapshot, ReviewContext, decide};
use portcullis_policy::set::Options;
use portcullis_policy::source::read_embedded;
use portcullis_policy::{Budget, PolicySet};

fn entries(text: &str) -> RegistryIndex {
    let list: Vec<RegistryEntry> =
        text.split_whitespace().map(|entry| RegistryEntry::parse(entry).unwrap()).collect();
    RegistryIndex::of(&list)
}

#[test]
fn the_narrowest_entry_is_found_as_entries_themselves_say() {
    let lists = [
        "docker.io",
        "docker.io/library",
        "docker.io/lib",
        "ghcr.io/a/b ghcr.io/a",
        "r.example.com:5000/x",
        "",
    ];
    let images = [
        "nginx",
        "docker.io/library/nginx:1",
        "docker.io/librarian/x",
        "ghcr.io/a/b/c",
        "ghcr.io/a",
        "ghcr.io/ab",
        "r.example.com:5000/x/y",
        "r.example.com/x/y",
        "docker.io.evil.io/library/nginx",
        "Bad/Image",
        "",
    ];
    for list in lists {
        let parsed: Vec<RegistryEntry> =
            list.split_whitespace().map(|entry| RegistryEntry::parse(entry).unwrap()).collect();
        for raw in images {
            let image = Image::parse(raw);
            let admitting = parsed.iter().filter(|entry| entry.admits(&image)).map(ToString::to_string);
            let narrowest = admitting.max_by_key(String::len);
            assert_eq!(entries(list).containing(&image).map(str::to_owned), narrowest, "{list}: {raw}");
        }
    }
}

/// 11,000 entries in each list and 500 containers: each is judged, within the time that a policy has.
#[test]
fn long_lists_and_many_images_are_judged_in_time() {
    let list: Vec<String> =
        (0..11_000).map(|n| format!("registry.example.com/tenants/acme/team-{n}")).collect();
    let ceiling: Vec<&str> = ["docker.io/library", "docker.io/istio", "registry.example.com"]
        .into_iter()
        .chain(list.iter().map(String::as_str))
        .collect();
    let patch = json!({
        "settings": {"registries": {"ceiling": ceiling}},
        "tenants": {"acme": {"registries": list}},
    });
    let (snapshot, _) = example::snapshot().unwrap().apply(&patch, 43).unwrap();
    let prepared = PreparedSnapshot::new(Arc::new(snapshot));
    let set = PolicySet::compile(&read_embedded().unwrap(), Options::default(), None).unwrap();
    for (team, denied) in [("team-10999", 0), ("team-11000", 500)] {
        let containers: Vec<_> = (0..500)
            .map(|n| json!({"name": format!("c{n}"), "image": format!("registry.example.com/tenants/acme/{team}/app:{n}")}))
            .collect();
        let pod =
            json!({"metadata": {"name": "p", "namespace": NAMESPACE}, "spec": {"containers": containers}});
        let review = review(Endpoint::Validate, "CREATE", "pods", &pod, &json!(null));
        let context =
            ReviewContext::gather(&prepared, &review, "d-1".to_owned(), "2030-01-01T00:00:00Z".to_owned())
                .unwrap();
        let budget = Budget {
            time: std::time::Duration::from_secs(20),
            review: std::time::Duration::from_secs(20),
            deadline: std::time::Duration::from_mins(1),
            ..Budget::default()
        };
        let verdict = decide(&set, &context, &review, budget);
        assert_eq!(verdict.failures, [], "{team}");
        let denials = verdict.denials.iter().filter(|named| named.policy == "registry-allowlist").count();
        assert_eq!(denials, denied, "{team}");
        let more = verdict.denials.first().map(|named| named.finding.allowed_omitted);
        assert_eq!(more.unwrap_or(0) > 10_000, denied > 0, "{team}: {more:?}");
    }
}
