//! Reads manifests: YAML with one or more documents, JSON, lists (unrolled), directories, standard input.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use serde_json::Value as Json;

use crate::cli::yaml;
use portcullis_admission::{kinds, review_builder::Document};

/// The API server takes 3 MiB per object.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Reads the given paths in order; of a directory, the YAML and JSON files below it.
pub fn all(paths: &[PathBuf]) -> anyhow::Result<Vec<Document>> {
    let mut documents = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            let mut text = String::new();
            std::io::stdin().take(FILE_BYTES_MAX).read_to_string(&mut text).context("standard input")?;
            documents.extend(parse("-", &text)?);
            continue;
        }
        for file in files(path)? {
            let name = file.display().to_string();
            let size = std::fs::metadata(&file).with_context(|| format!("`{name}`"))?.len();
            if size > FILE_BYTES_MAX {
                bail!("`{name}` has {size} bytes (allowed: at most {FILE_BYTES_MAX})");
            }
            let text = std::fs::read_to_string(&file).with_context(|| format!("`{name}`"))?;
            documents.extend(parse(&name, &text)?);
        }
    }
    if documents.is_empty() {
        bail!(
            "there is no object in what was given; a file holds Kubernetes manifests or AdmissionReviews as YAML or JSON"
        );
    }
    Ok(documents)
}

fn files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut found = Vec::new();
    let entries = std::fs::read_dir(path).with_context(|| format!("`{}`", path.display()))?;
    let mut entries: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    entries.sort();
    for entry in entries {
        let known = entry
            .extension()
            .is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|known| extension == *known));
        if entry.is_dir() {
            found.extend(files(&entry)?);
        } else if known {
            found.push(entry);
        }
    }
    Ok(found)
}

/// `name` is used in errors only.
pub fn parse(name: &str, text: &str) -> anyhow::Result<Vec<Document>> {
    let values = values(name, text)?;
    let whole = values.len() == 1 && text.trim_start().starts_with('{');
    let mut objects = Vec::new();
    for value in values {
        unroll(value, &mut objects);
    }
    let mut documents = Vec::new();
    for (index, value) in objects.into_iter().enumerate() {
        let number = index + 1;
        if let Some(why) = broken(&value) {
            bail!("`{name}` document {number}: {why}");
        }
        documents.push(Document { source: name.to_owned(), number, value, verbatim: None });
    }
    if let ([document], true) = (documents.as_mut_slice(), whole)
        && document.is_review()
        && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
    {
        document.verbatim = Some(Bytes::copy_from_slice(text.as_bytes()));
    }
    Ok(documents)
}

fn values(name: &str, text: &str) -> anyhow::Result<Vec<Json>> {
    let looks_json = text.trim_start().starts_with(['{', '[']);
    if looks_json {
        let read: Result<Vec<Json>, _> = serde_json::Deserializer::from_str(text).into_iter().collect();
        match read {
            Ok(values) => return Ok(values),
            // YAML may begin with a brace too, so a file with a JSON extension is strict JSON.
            Err(error) if Path::new(name).extension().is_some_and(|extension| extension == "json") => {
                bail!("`{name}`: {error}")
            }
            Err(_) => {}
        }
    }
    let values = yaml::documents(text, &yaml::as_kubectl()).map_err(|error| {
        let place =
            error.location().map(|place| format!(":{}:{}", place.line(), place.column())).unwrap_or_default();
        anyhow::anyhow!("`{name}`{place}: {}", error.without_snippet())
    })?;
    Ok(values.into_iter().filter(|value| !value.is_null()).collect())
}

/// `kind: List` holds complete objects; the items of a typed list take kind and version from the list.
pub fn unroll(mut value: Json, out: &mut Vec<Json>) {
    let list = is_list(&value);
    let items = match value.get_mut("items") {
        Some(Json::Array(items)) if list => std::mem::take(items),
        // Go writes an empty list as null.
        None | Some(Json::Null) if list => return,
        _ => return out.push(value),
    };
    let kind = text(&value, "/kind").strip_suffix("List").unwrap_or_default();
    let version = value.get("apiVersion").cloned().unwrap_or_default();
    for mut item in items {
        if let Some(fields) = item.as_object_mut().filter(|_| !kind.is_empty()) {
            fields.entry("kind").or_insert_with(|| kind.into());
            fields.entry("apiVersion").or_insert_with(|| version.clone());
        }
        unroll(item, out);
    }
}

fn text<'a>(value: &'a Json, at: &str) -> &'a str {
    value.pointer(at).and_then(Json::as_str).unwrap_or_default()
}

/// An object of a custom kind `…List` has a name, and a list has none. A list of a built-in kind is unrolled even with a
/// name, as kubectl does, so that none of its items is skipped.
fn is_list(value: &Json) -> bool {
    let (kind, version) = (text(value, "/kind"), text(value, "/apiVersion"));
    let named = ["/metadata/name", "/metadata/generateName"].iter().any(|at| !text(value, at).is_empty());
    is_list_of_known(kind, version) || (kind.ends_with("List") && value.get("items").is_some() && !named)
}

/// `v1` `List`, and the lists of built-in kinds.
pub fn is_list_of_known(kind: &str, version: &str) -> bool {
    let group = version.split_once('/').map_or("", |(group, _)| group);
    kind.strip_suffix("List").is_some_and(|of| match of {
        "" => group.is_empty(),
        of => !kinds::resource(group, of).guessed,
    })
}

/// The error for an unrolled value that cannot be evaluated.
pub fn broken(value: &Json) -> Option<&'static str> {
    let has = |key: &str| value.get(key).and_then(Json::as_str).is_some_and(|text| !text.is_empty());
    if is_list(value) {
        return Some("`items` of a list is not a list; nothing in it was evaluated");
    }
    (!(has("apiVersion") && has("kind"))).then_some("no Kubernetes object; it needs `apiVersion` and `kind`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, kinds: &[&str]) {
        let documents = parse("x.yaml", text).expect("reads");
        assert_eq!(documents.iter().map(|document| document.text("/kind")).collect::<Vec<_>>(), kinds);
    }

    #[test]
    fn documents_of_every_shape() {
        check("apiVersion: v1\nkind: Pod\n---\n---\napiVersion: v1\nkind: Secret\n", &["Pod", "Secret"]);
        check(
            r#"{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"Pod"},{"apiVersion":"v1","kind":"Node"}]}"#,
            &["Pod", "Node"],
        );
        check("apiVersion: v1\nkind: PodList\nitems: [{metadata: {name: a}}]\n", &["Pod"]);
        check(r#"{"apiVersion":"v1","kind":"Pod"} {"apiVersion":"v1","kind":"Node"}"#, &["Pod", "Node"]);
        check("{apiVersion: v1, kind: Pod}", &["Pod"]);
        check("---\n# Source: chart/templates/empty.yaml\n---\n", &[]);
        check(r#"{"apiVersion": "v1", "items": [], "kind": "List"}"#, &[]);
        check(r#"{"apiVersion": "v1", "items": null, "kind": "List"}"#, &[]);
    }

    #[test]
    fn an_object_with_a_name_is_itself_whatever_its_kind() {
        for items in ["{a: b}", "[]", "null", "[{apiVersion: v1, kind: Pod}]", "[a, {b: c}]"] {
            for name in ["name: a", "generateName: a-"] {
                for kind in ["AllowList", "List"] {
                    let object = format!(
                        "apiVersion: example.com/v1\nkind: {kind}\nmetadata: {{{name}}}\nitems: {items}\n"
                    );
                    check(&object, &[kind]);
                }
            }
        }
        let object =
            r#"{"kind":"AllowList","apiVersion":"example.com/v1","metadata":{"name":"a"},"items":[]}"#;
        check(&format!(r#"{{"apiVersion":"v1","kind":"List","items":[{object}]}}"#), &["AllowList"]);
        let item = r#"{"metadata":{"name":"a"},"items":[]}"#;
        let typed = format!(r#"{{"apiVersion":"example.com/v1","kind":"AllowListList","items":[{item}]}}"#);
        check(&typed, &["AllowList"]);
        // A list of a built-in kind is never an object, even with a name.
        for (kind, version) in [("List", "v1"), ("PodList", "v1"), ("DeploymentList", "apps/v1")] {
            let text = format!(
                "apiVersion: {version}\nkind: {kind}\nmetadata: {{name: a}}\nitems: [{{apiVersion: v1, kind: Secret}}]\n"
            );
            check(&text, &["Secret"]);
        }
    }

    #[test]
    fn a_list_whose_items_are_no_list_is_refused() {
        for items in ["{a: {apiVersion: v1, kind: Pod}}", "text", "0", "true"] {
            for kind in ["List", "PodList"] {
                let text = format!("apiVersion: v1\nkind: {kind}\nitems: {items}\n");
                let error = parse("x.yaml", &text).expect_err(&text).to_string();
                assert!(
                    error.ends_with("`items` of a list is not a list; nothing in it was evaluated"),
                    "{error}"
                );
            }
        }
    }

    #[test]
    fn an_octal_number_is_what_kubectl_reads() {
        let documents =
            parse("x.yaml", "apiVersion: v1\nkind: Pod\nmode: 0644\ntext: \"0644\"\n").expect("reads");
        assert_eq!(documents[0].value["mode"], 420);
        assert_eq!(documents[0].value["text"], "0644");
    }

    #[test]
    fn a_quoted_text_goes_on_at_any_column() {
        check(
            "apiVersion: v1\nkind: Pod\na: \"one\ntwo\"\n---\napiVersion: v1\nkind: Node\nb: 'x\ny'\n",
            &["Pod", "Node"],
        );
    }

    #[test]
    fn a_review_stays_as_it_stands() {
        let text =
            r#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}"#;
        let documents = parse("x.json", text).expect("reads");
        assert_eq!(documents[0].verbatim.as_deref(), Some(text.as_bytes()));
    }

    #[test]
    fn what_is_no_object_is_named() {
        let error = parse("x.yaml", "a: 1\n").expect_err("no object").to_string();
        assert_eq!(error, "`x.yaml` document 1: no Kubernetes object; it needs `apiVersion` and `kind`");
        assert!(parse("x.yaml", "a: [\n").expect_err("no YAML").to_string().starts_with("`x.yaml`:"));
    }
}
