use super::*;

type Read = fn(&Arc<str>, &mut dyn BufRead, Emit<'_>) -> anyhow::Result<()>;

#[track_caller]
fn check(read: Read, text: &str, expected: &[(usize, &str)]) {
    let mut found = Vec::new();
    read(&Arc::from("x"), &mut text.as_bytes(), &mut |piece| {
        let text = match piece.content {
            Content::Json(text, None) => text,
            Content::Json(text, Some(of)) => format!("{}/{} {text}", of.api_version, of.kind),
            Content::Broken(text) => format!("broken: {text}"),
            Content::Yaml(text) => panic!("{text}"),
        };
        found.push((piece.place.line, text));
        Ok(())
    })
    .expect("reads");
    assert_eq!(found.iter().map(|(line, text)| (*line, text.as_str())).collect::<Vec<_>>(), expected);
}

#[test]
fn values_with_their_lines() {
    check(values, "", &[]);
    check(values, " \n{\"a\":1}\n\n{\"b\":\n2} ", &[(2, "{\"a\":1}"), (4, "{\"b\":2}")]);
    check(values, "[{\"a\": 1},\n {\"b\": 2}]", &[(1, "{\"a\": 1}"), (2, "{\"b\": 2}")]);
}

#[test]
fn lists_item_by_item() {
    let sorted = "{\"apiVersion\": \"v1\",\n\"items\": [\n{\"a\":\n1},\n{\"b\": 2}\n], \"kind\": \"List\"}";
    check(values, sorted, &[(3, "{\"a\":\n1}"), (5, "{\"b\": 2}")]);
    let typed = "{\"kind\": \"PodList\", \"apiVersion\": \"v1\", \"items\": [{\"a\": 1}]}";
    check(values, typed, &[(1, "v1/Pod {\"a\": 1}")]);
    check(values, "{\"kind\": \"PodList\", \"items\": null}", &[]);
    let lists = "{\"kind\": \"CartList\", \"apiVersion\": \"example.com/v1\", \"metadata\": {}, \"items\": [{\"a\": 1}]}";
    check(values, lists, &[(1, "example.com/v1/Cart {\"a\": 1}")]);
    let other = "{\"kind\": \"Cart\", \"items\": [1]}";
    check(values, other, &[(1, "{\"kind\":\"Cart\",\"items\":[1]}")]);
    let late = "{\"apiVersion\": \"v1\", \"items\": [], \"kind\": \"Cart\"}";
    let why =
        "broken: `items` stands before `kind`, so its items were read as those of a List, and it is none";
    check(values, late, &[(1, why)]);
}

#[test]
fn an_object_with_a_name_is_whole_whatever_its_kind() {
    for kind in ["AllowList", "List"] {
        for name in ["{\"name\":\"a\"}", "{\"generateName\":\"a-\"}"] {
            let head = format!("\"kind\":\"{kind}\",\"apiVersion\":\"example.com/v1\"");
            for fields in [
                format!("{head},\"metadata\":{name},\"items\":[{{\"b\":1}}]"),
                format!("{head},\"items\":[{{\"b\":1}}],\"metadata\":{name}"),
                format!(
                    "\"apiVersion\":\"example.com/v1\",\"items\":[1],\"kind\":\"{kind}\",\"metadata\":{name}"
                ),
            ] {
                let text = format!("{{{fields}}}");
                check(values, &text, &[(1, &text)]);
            }
        }
    }
    let named =
        "{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"a\"},\"items\":[{\"b\":1}]}";
    check(values, named, &[(1, "v1/Pod {\"b\":1}")]);
}

#[test]
fn what_is_broken_is_named_where_it_stands() {
    check(
        values,
        "{\"a\":1}\n{\"b\"",
        &[(1, "{\"a\":1}"), (2, "broken: EOF while parsing an object; nothing after it was read")],
    );
    check(lines, "{\"a\":1}\n\n{\"b\"\n{\"c\":1}", &[(1, "{\"a\":1}"), (3, "{\"b\""), (4, "{\"c\":1}")]);
}

#[test]
fn nobody_wants_more() {
    let stop = |_: Piece| anyhow::bail!("enough");
    let mut stop = stop;
    let error = values(&Arc::from("x"), &mut "{} {}".as_bytes(), &mut stop).expect_err("ends");
    assert_eq!(error.to_string(), "enough");
}
