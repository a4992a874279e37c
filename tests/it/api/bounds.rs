//! Every bound of every field, read from the API's own document: at the bound a value has the right shape, one over is 400
//! at its pointer. What a value may mean is tried where the thing is; here it is tried that nothing is too long for us.

mod probes;

use std::collections::BTreeMap;

use portcullis_access::matrix::Method;
use portcullis_api::routes;
use serde_json::{Value, json};

use self::probes::{Document, Expect, Probe};
use super::harness::{Answer, Caller, On};
use super::shop::{IMAGE, SHOP, Shop};

/// Grammars beyond what a schema says, by the end of the pointer: at the bound of its length such a text may still be none.
const GRAMMARS: &[(&str, &str)] = &[
    ("/subject", "255 bytes behind the `#`, where the schema's 512 characters hold the issuer as well"),
    ("/owners/0", "likewise"),
    ("/registries/0", "names a registry"),
    ("/narrowedRegistries/0", "names a registry"),
    ("/namespace", "is the app's own"),
    ("/resource", "is a resource in kubectl's notation"),
    ("/startedAt", "is a time"),
    ("/expires", "is a time"),
    ("/notBefore", "is a time"),
    ("/signature", "is 64 bytes in base64"),
    ("/value", "is what the key of the setting says"),
];

/// A path of the table with things that are there.
fn filled(path: &str) -> String {
    let known = [
        ("{c}", "eu-1"),
        ("{t}", "acme"),
        ("{p}", "shop"),
        ("{a}", "frontend"),
        ("{s}", "sbx-001"),
        ("{slug}", "web"),
        ("{subject}", "ada"),
        ("{key}", "sandboxes"),
        ("{name}", "gold"),
        ("{id}", "some"),
        ("{n}", "1"),
    ];
    known.iter().fold(path.to_owned(), |path, (variable, value)| path.replace(variable, value))
}

fn furnished() -> Shop {
    let shop = Shop::open(On::Sqlite);
    let source = shop.app("frontend", IMAGE)["spec"]["source"].clone();
    shop.admin.post(&format!("{SHOP}/sandboxes"), &json!({})).ok(201);
    let item =
        json!({ "slug": "web", "name": "Web", "scope": "global", "version": "1.0.0", "source": source });
    // An image that is everybody's is judged by the ceiling.
    let answer = shop.admin.post("/api/v1/catalog", &item);
    assert!(answer.status == 201 || answer.status == 422, "{}", answer.text);
    let sets = "/api/v1/clusters/eu-1/tenants/acme/policysets";
    shop.admin.post(sets, &json!({ "name": "some", "rules": [] })).ok(201);
    shop.admin.post("/api/v1/policies/revisions", &json!({ "files": {} })).ok(201);
    shop
}

fn send(caller: &Caller, method: Method, path: &str, body: &Value) -> Answer {
    caller.json(method.as_str(), path, body)
}

/// What is wrong with an answer to a probe, if something is.
fn objection(probe: &Probe, answer: &Answer) -> Option<String> {
    let said: String = answer.text.chars().take(300).collect();
    if answer.status >= 500 {
        return Some(format!("{}: {said}", answer.status));
    }
    if probe.value.to_string().len() > 1 << 20 {
        return (answer.status != 413).then(|| format!("{} and not 413", answer.status));
    }
    let faults: Vec<String> = if answer.status == 400 { answer.problem().2 } else { Vec::new() };
    match probe.expect {
        Expect::Refused => {
            let told = faults.iter().any(|at| *at == probe.pointer || Some(at) == probe.choice.as_ref());
            (!told).then(|| format!("{} with {faults:?}: {said}", answer.status))
        }
        Expect::Taken => {
            let grammar = GRAMMARS.iter().any(|(end, _)| probe.pointer.ends_with(end));
            let told = faults.contains(&probe.pointer) && !grammar;
            told.then(|| format!("{} at the bound: {said}", answer.status))
        }
        Expect::Anything => {
            let kept = serde_json::from_str::<Value>(&answer.text).ok();
            let kept = kept.filter(|_| answer.status < 300)?.pointer(&probe.pointer)?.clone();
            (Some(&kept) != probe.value.pointer(&probe.pointer)).then(|| format!("text became {kept}"))
        }
    }
}

#[test]
fn every_bound_of_every_body_holds() {
    let shop = furnished();
    let document = Document::new(shop.admin.get("/openapi.json").ok(200));
    let (mut wrong, mut counted) = (Vec::new(), BTreeMap::<&str, usize>::new());
    for route in routes::table().into_iter().filter(|route| route.signature.body.is_some()) {
        let rule = route.rule;
        let schema = document.body(rule.path, rule.method.as_str());
        // Nothing is kept, so every probe finds what the one before found. A token cannot be minted by a dry run.
        let query = if route.options.secret { "" } else { "?dryRun=true" };
        let path = filled(rule.path) + query;
        let fine = document.sample(&schema);
        let probes = document.probes(&schema);
        assert!(probes.len() > 2, "{}: {} probes", rule.action, probes.len());
        for probe in probes {
            let answer = send(&shop.admin, rule.method, &path, &probe.value);
            *counted.entry(probe.what).or_default() += 1;
            if let Some(why) = objection(&probe, &answer) {
                wrong.push(format!("{} `{}` {}: {why}", rule.action, probe.pointer, probe.what));
            }
        }
        let answer = send(&shop.admin, rule.method, &path, &fine);
        let faults = if answer.status == 400 { answer.problem().2 } else { Vec::new() };
        let told: Vec<_> =
            faults.iter().filter(|at| !GRAMMARS.iter().any(|(end, _)| at.ends_with(end))).collect();
        assert!(
            told.is_empty(),
            "{}: a body of the document's own examples: {fine} {}",
            rule.action,
            answer.text
        );
    }
    eprintln!("{counted:?}");
    assert!(wrong.is_empty(), "{} of {:?}:\n{}", wrong.len(), counted, wrong.join("\n"));
    for what in [
        "too long",
        "too many",
        "too many keys",
        "an unknown field",
        "missing",
        "another type",
        "NUL",
        "no such word",
    ] {
        assert!(counted.get(what).is_some_and(|count| *count > 5), "{what}: {counted:?}");
    }
    let tables = shop.server.ask("SELECT COUNT(*) FROM tenants");
    assert_eq!(tables, "2", "text stayed text");
}

#[test]
fn every_bound_of_every_parameter_holds() {
    let shop = furnished();
    let document = Document::new(shop.admin.get("/openapi.json").ok(200));
    let (mut wrong, mut count) = (Vec::new(), 0);
    for route in routes::table().into_iter().filter(|route| !route.rule.is_open() && !route.options.waits) {
        let rule = route.rule;
        for parameter in document.parameters(rule.path, rule.method.as_str()) {
            let name = parameter["name"].as_str().unwrap();
            let place = parameter["in"].as_str().unwrap();
            for probe in document.probes(&parameter["schema"]) {
                let Some(text) = probe
                    .value
                    .as_str()
                    .map(str::to_owned)
                    .or_else(|| probe.value.as_i64().map(|n| n.to_string()))
                else {
                    continue;
                };
                if probe.what == "another type" || probe.expect == Expect::Anything {
                    continue;
                }
                let path = filled(rule.path);
                let answer = match place {
                    "query" => {
                        let text: String = text.bytes().flat_map(escaped).collect();
                        ask(&shop.admin, rule.method, &format!("{path}?{name}={text}"))
                    }
                    "header" if text.bytes().all(|byte| byte.is_ascii_graphic()) => {
                        ask(&shop.admin.with(name, &text), rule.method, &path)
                    }
                    _ => continue,
                };
                count += 1;
                let at =
                    if place == "query" { format!("?{name}") } else { format!("{}:", name.to_lowercase()) };
                let faults = if answer.status == 400 { answer.problem().2 } else { Vec::new() };
                let told = faults.contains(&at);
                let fine = match probe.expect {
                    Expect::Refused => told,
                    // A cursor is one that this server gave; a selector, a time and a subject have a grammar.
                    _ => !told || matches!(name, "cursor" | "labelSelector" | "since" | "owner"),
                };
                if !fine || answer.status >= 500 {
                    wrong.push(format!("{} {at} {} `{text}`: {}", rule.action, probe.what, answer.text));
                }
            }
        }
    }
    assert!(count > 100, "{count}");
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
}

/// A byte as a URL has any byte.
fn escaped(byte: u8) -> [char; 3] {
    let digit = |n: u8| char::from_digit(n.into(), 16).unwrap();
    ['%', digit(byte >> 4), digit(byte & 15)]
}

fn ask(caller: &Caller, method: Method, path: &str) -> Answer {
    match method {
        Method::Get | Method::Delete => caller.send(method.as_str(), path, None),
        _ => caller.json(method.as_str(), path, &json!({})),
    }
}
