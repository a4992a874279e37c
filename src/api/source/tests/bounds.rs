//! Every field of a source at its bounds.

use serde_json::{Value, json};

use super::{refused, smallest};
use portcullis_tenancy::source::SourceKind;

/// Member, value, whether it is taken. One case on each side of a bound.
type Case = (&'static str, Value, bool);

fn long(n: usize) -> String {
    "a".repeat(n)
}

fn charts_and_repositories() -> Vec<Case> {
    vec![
        ("/helmHttp/repoUrl", json!(format!("https://{}", long(2040))), true),
        ("/helmHttp/repoUrl", json!(format!("https://{}", long(2041))), false),
        ("/helmHttp/repoUrl", json!("http://charts.io"), false),
        ("/helmHttp/repoUrl", json!("https://a b"), false),
        ("/helmHttp/repoUrl", json!("https://a\u{0}"), false),
        ("/helmHttp/repoUrl", json!(7), false),
        ("/helmHttp/chart", json!(long(128)), true),
        ("/helmHttp/chart", json!(long(129)), false),
        ("/helmHttp/chart", json!(""), false),
        ("/helmHttp/chart", json!("Web"), false),
        ("/helmHttp/chart", json!("../x"), false),
        ("/helmHttp/version", json!("1.0.0-rc.1+build.5"), true),
        ("/helmHttp/version", json!("1.0"), false),
        ("/helmHttp/version", json!("^1.0.0"), false),
        ("/helmHttp/version", json!("01.0.0"), false),
        ("/helmHttp/version", json!("1.0.0-01"), false),
        ("/helmHttp/version", json!("1.0.0\n"), false),
        ("/helmHttp/version", json!("999999999.0.0"), true),
        ("/helmHttp/version", json!("9999999999.0.0"), false),
        ("/helmHttp/values", json!({ "any": ["thing"] }), true),
        ("/helmHttp/values", json!([]), false),
        ("/helmHttp/values", Value::Null, false),
        ("/helmOci/registry", json!("registry.io"), false),
        ("/helmOci/registry", json!("oci://u@r.io"), false),
        ("/gitRepo/url", json!("git@g.io:acme/x.git"), true),
        ("/gitRepo/url", json!("ssh://git@g.io/x"), true),
        ("/gitRepo/url", json!("ftp://g.io/x"), false),
        ("/gitRepo/url", json!("http://g.io/x"), false),
        ("/gitRepo/revision", json!("release/v1.2"), true),
        ("/gitRepo/revision", json!("-x"), false),
        ("/gitRepo/revision", json!(long(255)), true),
        ("/gitRepo/revision", json!(long(256)), false),
        ("/gitRepo/path", json!("."), true),
        ("/gitRepo/path", json!("./deploy/.hidden/v1.2"), true),
        ("/gitRepo/path", json!("../up"), false),
        ("/gitRepo/path", json!("a/../../b"), false),
        ("/gitRepo/path", json!("/srv"), false),
    ]
}

fn images_and_objects() -> Vec<Case> {
    vec![
        ("/containerImage/image", json!(long(512)), true),
        ("/containerImage/image", json!(long(513)), false),
        ("/containerImage/image", json!(" "), false),
        ("/containerImage/tag", json!(long(128)), true),
        ("/containerImage/tag", json!(long(129)), false),
        ("/containerImage/tag", json!(".1"), false),
        ("/containerImage/ports", json!([1, 65535]), true),
        ("/containerImage/ports/0", json!(0), false),
        ("/containerImage/ports/0", json!(65536), false),
        ("/containerImage/ports/0", json!("80"), false),
        ("/containerImage/ports", json!(vec![80; 32]), true),
        ("/containerImage/ports", json!(vec![80; 33]), false),
        ("/containerImage/env", json!([{ "name": "A_b.c-1", "value": "" }]), true),
        ("/containerImage/env/0/name", json!("1A"), false),
        ("/containerImage/env/0/name", json!("A=B"), false),
        ("/containerImage/env/0/value", json!(long(32768)), true),
        ("/containerImage/env/0/value", json!(long(32769)), false),
        ("/containerImage/resources", json!({ "limits": { "cpu": "500m", "memory": "1.5Gi" } }), true),
        ("/containerImage/resources/limits/cpu", json!("-1"), false),
        ("/containerImage/resources/limits/cpu", json!("1 Gi"), false),
        ("/containerImage/resources/requests/memory", json!(1), false),
        ("/containerImage/credentialsSecretRef", json!({ "name": "a.b" }), true),
        ("/containerImage/credentialsSecretRef/name", json!("A"), false),
        ("/containerImage/credentialsSecretRef/name", json!(long(254)), false),
        ("/containerImage/credentialsSecretRef/namespace", json!(long(63)), true),
        ("/containerImage/credentialsSecretRef/namespace", json!(long(64)), false),
        ("/kubeManifest/manifest/apiVersion", json!("apps/v1"), true),
        ("/kubeManifest/manifest/apiVersion", json!("a/b/v1"), false),
        ("/kubeManifest/manifest/kind", json!("pod"), false),
        ("/kubeManifest/manifest", json!("kind: Pod"), false),
        ("/velaTemplate/template", json!(long(63)), true),
        ("/velaTemplate/template", json!(long(64)), false),
        ("/velaTemplate/version", json!("v2"), true),
        ("/velaTemplate/version", json!("newest"), false),
        ("/velaTemplate/parameters", json!({ "image": "x" }), true),
        ("/velaTemplate/parameters", json!("x"), false),
    ]
}

#[test]
fn bounds_of_every_field() {
    for (pointer, value, taken) in charts_and_repositories().into_iter().chain(images_and_objects()) {
        let word = pointer.split('/').nth(1).unwrap();
        let mut source = smallest(SourceKind::parse(word).unwrap());
        set(&mut source, pointer, value.clone());
        let expected = if taken { vec![] } else { vec![pointer.to_owned()] };
        assert_eq!(refused(&source), expected, "{pointer} = {value}");
    }
}

/// Sets what a pointer names, with what is needed on the way.
fn set(document: &mut Value, pointer: &str, value: Value) {
    let mut at = &mut *document;
    let parts: Vec<&str> = pointer.split('/').skip(1).collect();
    for part in parts {
        at = if let Ok(index) = part.parse::<usize>() {
            if at.is_null() {
                *at = json!([]);
            }
            let items = at.as_array_mut().unwrap();
            while items.len() <= index {
                items.push(Value::Null);
            }
            &mut items[index]
        } else {
            if at.is_null() {
                *at = match part {
                    "name" | "value" => json!({ "name": "A" }),
                    "namespace" => json!({ "name": "a" }),
                    _ => json!({}),
                };
            }
            &mut at[part]
        };
    }
    *at = value;
    if pointer.contains("credentialsSecretRef/namespace") {
        document["containerImage"]["credentialsSecretRef"]["name"] = json!("a");
    }
    if pointer.contains("env/0/value") {
        document["containerImage"]["env"][0]["name"] = json!("A");
    }
}
