use super::*;
use portcullis_cluster::configmaps::ConfigMapData;

fn all(maps: &[(&str, &[(&str, &str)])]) -> ConfigMaps {
    let labelled = |name: &str, data: &[(&str, &str)]| ConfigMapData {
        name: name.to_owned(),
        uid: String::new(),
        version: "1".to_owned(),
        data: data.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect(),
        binary: Vec::new(),
    };
    maps.iter().map(|(name, data)| ((*name).to_owned(), labelled(name, data))).collect()
}

#[test]
fn keys_name_the_files_of_a_bundle() {
    let read = files(&all(&[
        ("first", &[("a.rego", "package a"), ("params.a.b.yaml", "x: 1")]),
        ("more", &[("sets.strict.yaml", "description: d\nrules: []"), ("a.rego", "package b")]),
    ]));
    let paths: Vec<&str> = read.texts.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(
        paths,
        ["configmaps/first/a.rego", "params/a.b/data.yaml", "configmaps/more/a.rego", "sets/strict.yaml"]
    );
    let bundle = read.bundle().unwrap().unwrap();
    assert_eq!((bundle.modules.len(), bundle.params.len(), bundle.sets.len()), (2, 1, 1));
    assert!(files(&ConfigMaps::new()).bundle().unwrap().is_none());
}

#[test]
fn unknown_and_duplicate_keys_are_refused_by_name() {
    let mut maps = all(&[
        ("a", &[("README.md", "hello"), ("params.x.yaml", "y: 1")]),
        ("b", &[("params.x.yaml", "y: 2"), ("params..yaml", "")]),
    ]);
    maps.get_mut("b").unwrap().binary.push("c.rego".to_owned());
    let problems = files(&maps).bundle().unwrap_err();
    let said: Vec<String> = problems.0.iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), 4, "{said:#?}");
    assert!(said[0].starts_with("configmaps/a/README.md: is not a policy file"), "{said:#?}");
    assert!(said[1].starts_with("configmaps/b/c.rego: is not a policy file"), "{said:#?}");
    assert!(said[2].starts_with("configmaps/b/params..yaml: is not a policy file"), "{said:#?}");
    assert!(said[3].starts_with("configmaps/b/params.x.yaml: is already given by ConfigMap a"), "{said:#?}");
}
