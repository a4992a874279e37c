//! Texts → image references: never a panic, the canonical form is its own canonical form, an allowed registry is a
//! prefix by whole path elements, and an entry admits nothing that it does not name.

use portcullis_tenancy::image::{RegistryEntry, Image};
use portcullis_fuzz::{Outcome, root, run};
use serde_json::Value as Json;

/// What a reference is made of.
const WORDS: &[&[u8]] = &[
    b"/", b":", b"@", b".", b"..", b"-", b"_", b"__", b"//", b"docker.io/", b"index.docker.io/", b"library/", b"localhost", b"localhost:5000/", b"registry.example.com/tenants/acme",
    b"@sha256:", b"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", b":latest", b":5000/", b"[::1]:5000/", b"127.0.0.1/", b"xn--", b"A", b"\xd0\xb0", b"\xe2\x80\x8b", b" ", b"\n",
    b"https://", b"?x", b"%2f", b"*", b"%", b"\\", b"0", b":99999/", b"sha512:",
];

fn main() {
    let rows = std::fs::read_to_string(root().join("tests/cases/images.jsonl")).expect("images.jsonl");
    let rows: Vec<Json> = rows.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let texts = rows.iter().flat_map(|row| row.as_object().into_iter().flatten().filter_map(|(_, value)| value.as_str()));
    let mut seeds: Vec<Vec<u8>> = texts.map(|text| text.as_bytes().to_vec()).collect();
    seeds.extend(["registry.example.com/tenants/acme", "docker.io/library", "localhost:5000", ""].map(Vec::from));
    seeds.sort();
    seeds.dedup();
    let entries = ["registry.example.com/tenants/acme", "docker.io/library", "registry.example.com:5000", "ghcr.io/acme"];
    let entries = entries.map(|text| (text, RegistryEntry::parse(text).expect("an entry")));
    run("image", seeds, WORDS, |bytes| target(&entries, &String::from_utf8_lossy(bytes)));
}

fn target(entries: &[(&str, RegistryEntry); 4], text: &str) -> Outcome {
    let image = Image::parse(text);
    if image.raw != text {
        return Err(format!("`raw` is {:?} of {text:?}", image.raw));
    }
    if image.ok && !image.valid {
        return Err(format!("ok and not valid: {text:?}"));
    }
    if image.ok != image.reason.is_empty() {
        return Err(format!("ok is {} and the reason is {:?}: {text:?}", image.ok, image.reason));
    }
    if image.ok {
        let again = Image::parse(&image.canonical);
        let same = (&again.registry, &again.repository, &again.digest, &again.canonical) == (&image.registry, &image.repository, &image.digest, &image.canonical);
        if !again.ok || !same {
            return Err(format!("{text:?} is {:?}, which is {:?}, {}", image.canonical, again.canonical, again.reason));
        }
    }
    let mut way = format!("{} {} {} {} {}", image.reason, image.tag_defaulted, image.digest.is_empty(), image.registry.contains(':'), image.repository.matches('/').count().min(3));
    for (name, entry) in entries {
        let admits = entry.admits(&image);
        let place = format!("{}/{}", image.registry, image.repository);
        let below = place == *name || place.strip_prefix(name).is_some_and(|rest| rest.starts_with('/'));
        if admits && !(image.ok && below) {
            return Err(format!("`{name}` admits {text:?}, which is at {place:?}"));
        }
        way.push_str(if admits { " +" } else { " -" });
    }
    // Anything may be written as an entry; what is one admits its own place.
    if let Ok(entry) = RegistryEntry::parse(text) {
        let image = Image::parse(&format!("{text}/some/image:1"));
        if image.ok && !entry.admits(&image) {
            return Err(format!("the entry {text:?} does not admit {:?}", image.raw));
        }
        way.push_str(" entry");
    }
    Ok(way)
}
