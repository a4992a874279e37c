mod bounds;

use serde_json::{Value, json};

use super::*;

/// Pointers of what the schema has against a source, sorted.
fn refused(source: &Value) -> Vec<String> {
    let mut pointers: Vec<String> =
        schema::faults(source, "").unwrap().into_iter().map(|fault| fault.pointer).collect();
    pointers.sort();
    pointers.dedup();
    pointers
}

fn smallest(kind: SourceKind) -> Value {
    let body = match kind {
        SourceKind::HelmHttp => json!({ "repoUrl": "https://c.io", "chart": "web", "version": "1.0.0" }),
        SourceKind::HelmOci => json!({ "registry": "oci://r.io/c", "chart": "web", "version": "1.0.0" }),
        SourceKind::GitRepo => json!({ "url": "https://g.io/r.git", "revision": "main" }),
        SourceKind::ContainerImage => json!({ "image": "r.io/web" }),
        SourceKind::KubeManifest => json!({ "manifest": { "apiVersion": "v1", "kind": "Pod" } }),
        SourceKind::VelaTemplate => json!({ "template": "webservice" }),
    };
    json!({ kind.as_str(): body })
}

#[test]
fn each_kind_needs_what_it_needs_and_nothing_else() {
    for kind in SourceKind::ALL {
        let source = smallest(kind);
        assert_eq!(refused(&source), [""; 0], "{source}");
        assert_eq!(super::kind(&source, ""), Ok(kind));
        for key in source[kind.as_str()].as_object().unwrap().keys() {
            let mut less = source.clone();
            less[kind.as_str()].as_object_mut().unwrap().remove(key);
            assert_eq!(refused(&less), [format!("/{}/{key}", kind.as_str())], "{less}");
        }
        let mut more = source.clone();
        more[kind.as_str()]["unknown"] = json!(1);
        assert_eq!(refused(&more), [format!("/{}/unknown", kind.as_str())], "{more}");
    }
    assert_eq!(refused(&json!({ "image": "x" })), ["/image"]);
}

#[test]
fn one_kind_and_one_only() {
    let pointers = |source: Value| -> Vec<String> {
        super::kind(&source, "/spec/source").unwrap_err().into_iter().map(|issue| issue.pointer).collect()
    };
    assert_eq!(pointers(json!({})), ["/spec/source"]);
    let two = json!({ "gitRepo": {}, "containerImage": {} });
    assert_eq!(pointers(two), ["/spec/source/gitRepo", "/spec/source/containerImage"]);
}

#[test]
fn depth_and_length() {
    let nested = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!({ "a": inner }));
    assert_eq!(bounds(&nested(structure::DEPTH_MAX), ""), []);
    let deep = bounds(&nested(structure::DEPTH_MAX + 1), "/source");
    assert_eq!(deep.len(), 1);
    assert_eq!(deep[0].pointer, format!("/source{}", "/a".repeat(structure::DEPTH_MAX)));
    assert_eq!(bounds(&json!("x".repeat(structure::BYTES_MAX - 2)), ""), []);
    assert_eq!(bounds(&json!("x".repeat(structure::BYTES_MAX - 1)), "/source")[0].pointer, "/source");
}

#[test]
fn every_image_is_found_where_it_was_written() {
    let cases = [
        (json!({ "containerImage": { "image": "r.io/a" } }), vec![("/s/containerImage/image", "r.io/a")]),
        (
            json!({ "containerImage": { "image": "r.io/a", "tag": "1" } }),
            vec![("/s/containerImage/image", "r.io/a:1")],
        ),
        (
            json!({ "helmOci": { "registry": "oci://r.io/c/", "chart": "web", "version": "1.0.0+b", "values": { "image": "r.io/i:1" } } }),
            vec![("/s/helmOci/registry", "r.io/c/web:1.0.0_b"), ("/s/helmOci/values/image", "r.io/i:1")],
        ),
        (
            json!({ "helmHttp": { "repoUrl": "https://c.io", "values": { "web": { "image": { "registry": "r.io", "repository": "a/b", "tag": "1" } }, "side": { "image": { "repository": "r.io/b", "tag": "", "pullPolicy": "Always" } }, "chart": "oci://r.io/x" } } }),
            vec![
                ("/s/helmHttp/values/chart", "r.io/x"),
                ("/s/helmHttp/values/side/image/repository", "r.io/b"),
                ("/s/helmHttp/values/web/image", "r.io/a/b:1"),
            ],
        ),
        (
            json!({ "kubeManifest": { "manifest": { "kind": "List", "items": [
                { "kind": "ConfigMap", "data": { "image": "no.io/x" } },
                { "kind": "CronJob", "spec": { "jobTemplate": { "spec": { "template": { "spec": {
                    "initContainers": [{ "image": "r.io/init" }],
                    "volumes": [{ "image": { "reference": "r.io/vol" } }],
                } } } } } },
            ] } } }),
            vec![
                (
                    "/s/kubeManifest/manifest/items/1/spec/jobTemplate/spec/template/spec/initContainers/0/image",
                    "r.io/init",
                ),
                (
                    "/s/kubeManifest/manifest/items/1/spec/jobTemplate/spec/template/spec/volumes/0/image/reference",
                    "r.io/vol",
                ),
            ],
        ),
        (
            json!({ "velaTemplate": { "template": "x", "parameters": { "patches": [{ "op": "add", "path": "/spec/containers/0/image", "value": "r.io/p" }], "a/b": { "image": "r.io/q" } } } }),
            vec![
                ("/s/velaTemplate/parameters/a~1b/image", "r.io/q"),
                ("/s/velaTemplate/parameters/patches/0/value", "r.io/p"),
            ],
        ),
        (json!({ "gitRepo": { "url": "https://g.io/x", "revision": "main" } }), vec![]),
    ];
    for (source, expected) in cases {
        let kind = super::kind(&source, "").unwrap();
        let mut found: Vec<(String, String)> = images::of_source(&source, kind, "/s")
            .into_iter()
            .map(|found| (found.pointer, found.reference))
            .collect();
        found.sort();
        let expected: Vec<(String, String)> = expected
            .into_iter()
            .map(|(pointer, reference)| (pointer.to_owned(), reference.to_owned()))
            .collect();
        assert_eq!(found, expected, "{source}");
    }
}

#[test]
fn credentials_are_named_and_never_repeated() {
    const SECRET: &str = "hunter2";
    let refused = [
        (json!({ "password": SECRET }), "/password"),
        (json!({ "a": [{ "DB_PASSWORD": SECRET }] }), "/a/0/DB_PASSWORD"),
        (json!({ "mariadb.rootPassword": SECRET }), "/mariadb.rootPassword"),
        (json!({ "token": 12345 }), "/token"),
        (json!({ "tokens": [SECRET] }), "/tokens"),
        (json!({ "api-key": SECRET }), "/api-key"),
        (json!({ "password": { "value": SECRET } }), "/password"),
        (json!({ ".dockerconfigjson": SECRET }), "/.dockerconfigjson"),
        (json!({ "env": [{ "name": "API_TOKEN", "value": SECRET }] }), "/env/0/value"),
        (json!({ "cert": "-----BEGIN RSA PRIVATE KEY-----\nhunter2" }), "/cert"),
        (json!({ "url": "postgres://app:hunter2@db/x" }), "/url"),
        (json!({ "kind": "Secret", "stringData": { "any": SECRET } }), "/stringData"),
        (json!({ "a/b": { "private_key": SECRET } }), "/a~1b/private_key"),
    ];
    for (document, pointer) in refused {
        let issues = forbidden::credentials(&document, "");
        assert_eq!(
            issues.iter().map(|issue| issue.pointer.as_str()).collect::<Vec<_>>(),
            [pointer],
            "{document}"
        );
        assert!(!issues[0].detail.contains(SECRET) && !issues[0].detail.contains("12345"), "{issues:?}");
    }
    let taken = [
        json!({ "credentialsSecretRef": { "name": "registry" } }),
        json!({ "env": [{ "name": "DB_PASSWORD", "secretKeyRef": { "name": "db", "key": "password" } }] }),
        json!({ "automountServiceAccountToken": false, "password": "", "passwordPolicy": "strong" }),
        json!({ "existingSecret": "db", "tokenTTL": "1h", "imagePullSecrets": [{ "name": "registry" }] }),
        json!({ "url": "https://git@g.io/x", "schedule": "a://b:c" }),
    ];
    for document in taken {
        assert_eq!(forbidden::credentials(&document, ""), [], "{document}");
    }
}

#[test]
fn overrides_merge_as_rfc_7386_has_it() {
    // The examples of its appendix A, and ours.
    let cases = [
        (json!({ "a": "b" }), json!({ "a": "c" }), json!({ "a": "c" })),
        (json!({ "a": "b" }), json!({ "b": "c" }), json!({ "a": "b", "b": "c" })),
        (json!({ "a": "b" }), json!({ "a": null }), json!({})),
        (json!({ "a": "b", "b": "c" }), json!({ "a": null }), json!({ "b": "c" })),
        (json!({ "a": ["b"] }), json!({ "a": "c" }), json!({ "a": "c" })),
        (json!({ "a": "c" }), json!({ "a": ["b"] }), json!({ "a": ["b"] })),
        (json!({ "a": { "b": "c" } }), json!({ "a": { "b": "d", "c": null } }), json!({ "a": { "b": "d" } })),
        (json!({ "a": [{ "b": "c" }] }), json!({ "a": [1] }), json!({ "a": [1] })),
        (json!({ "e": null }), json!({ "a": 1 }), json!({ "e": null, "a": 1 })),
        (json!({}), json!({ "a": { "bb": { "ccc": null } } }), json!({ "a": { "bb": {} } })),
        (
            json!({ "containerImage": { "image": "r.io/a", "tag": "1" } }),
            json!({ "containerImage": { "tag": "2" } }),
            json!({ "containerImage": { "image": "r.io/a", "tag": "2" } }),
        ),
    ];
    for (mut source, overrides, expected) in cases {
        json_patch::merge(&mut source, &overrides);
        assert_eq!(source, expected, "{overrides}");
    }
}
