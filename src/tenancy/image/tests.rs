use proptest::prelude::*;
use serde::Deserialize;

use super::*;

const ENTRIES: [(&str, &str); 9] = [
    ("L1", "registry.example.com/tenants/acme"),
    ("L2", "registry.example.com"),
    ("L3", "registry.example.com:5000"),
    ("L4", "docker.io/library"),
    ("L5", "docker.io/acme"),
    ("L6", "gcr.io/proj"),
    ("L7", "ghcr.io/acme/app"),
    ("L8", "[2001:db8::1]:5000/team"),
    ("L9", "localhost:5000"),
];

#[derive(Deserialize)]
struct Row {
    id: String,
    image: String,
    valid: bool,
    registry: String,
    repository: String,
    tag: String,
    digest: String,
    tag_defaulted: bool,
    canonical: String,
    strict: String,
    reason: String,
    allow: Vec<String>,
}

fn rows() -> Vec<Row> {
    let lines = include_str!("../../../tests/cases/images.jsonl").lines();
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn recorded_cases_parse_as_expected() {
    let entries = ENTRIES.map(|(name, entry)| (name, RegistryEntry::parse(entry).unwrap()));
    let rows = rows();
    assert_eq!(rows.len(), 105);
    for row in rows {
        let image = Image::parse(&row.image);
        let allow: Vec<_> =
            entries.iter().filter(|(_, entry)| entry.admits(&image)).map(|(name, _)| *name).collect();
        assert_eq!(allow, row.allow, "{} {}", row.id, row.image);
        let expected = Image {
            raw: row.image,
            valid: row.valid,
            ok: row.strict == "ok",
            reason: row.reason,
            registry: row.registry,
            repository: row.repository,
            tag: row.tag,
            tag_defaulted: row.tag_defaulted,
            digest: row.digest,
            canonical: row.canonical,
        };
        assert_eq!(image, expected, "{}", row.id);
    }
}

/// Rows beside the reference's: what its grammar in words says of texts it has no vector for.
#[test]
fn more_references() {
    let hex = "0123456789abcdef".repeat(4);
    let digest = |digest: &str| format!("nginx@{digest}");
    let check = |image: &str, reason: &str| assert_eq!(Image::parse(image).reason, reason, "{image}");
    check("", "invalid-format");
    check(" ", "invalid-format");
    check("nginx\n", "invalid-format");
    check("nginx:", "invalid-format");
    check("index.docker.io/nginx", "");
    check("localhost/app", "");
    check("registry.example.com:05000/app", "port-out-of-range");
    check("registry.example.com:65535/app", "");
    check("registry.example.com:65536/app", "port-out-of-range");
    check("My_registry.io/app", "uppercase-in-repository");
    check("Ångström", "uppercase-in-repository");
    check("nginx:\u{212a}", "invalid-format");
    check("[::1/app", "invalid-format");
    check("[]/app", "invalid-format");
    check("[::1]5000/app", "invalid-format");
    check("]:5000/app", "invalid-format");
    check(&format!("nginx:{}", "t".repeat(128)), "");
    check(&format!("nginx:{}", "t".repeat(129)), "invalid-format");
    check(&format!("docker.io/{}", "a".repeat(247)), "");
    check(&format!("docker.io/{}", "a".repeat(248)), "name-too-long");
    check(&format!("docker.io/acme/{}", "a".repeat(250)), "");
    check(&format!("sha256:{hex}"), "local-image-id");
    check(&format!("library/sha256:{hex}"), "local-image-id");
    for cut in ["6", "6567", "ABCDEF0", "0123456789abcdef0123456789abcdef"] {
        check(&format!("sha256:{cut}"), "local-image-id");
        check(&format!("docker.io/library/sha256:{cut}"), "local-image-id");
        check(&format!("acme/sha256:{cut}"), "");
    }
    check("sha256:latest", "");
    check(&format!("acme/sha256:{hex}"), "");
    check(&digest(&format!("sha256:{}", hex.to_uppercase())), "digest-invalid-format");
    check(&digest(&format!("sha256:{}", hex.replacen('0', "", 1))), "digest-invalid-length");
    check(&digest(&format!("sha256:{}", "a".repeat(31))), "invalid-format");
    check(&format!("nginx:1@SHA256:{hex}"), "digest-invalid-format");
    check(&digest(&format!("sha256:{hex}@sha256:{hex}")), "invalid-format");
    check(&"a/".repeat(2048), "name-too-long");
}

#[test]
fn entries_say_what_to_write_instead() {
    for good in [
        "docker.io",
        "localhost",
        "localhost:5000/a",
        "127.0.0.1:5000",
        "[::1]/x",
        "registry.example.com:443/a-b/c_d",
    ] {
        assert_eq!(RegistryEntry::parse(good).unwrap().to_string(), good);
    }
    let check = |entry: &str, says: &str| {
        let said = RegistryEntry::parse(entry).expect_err(entry).to_string();
        assert!(said.contains(says), "{entry}: {said}");
    };
    check("", "is empty; write a registry");
    check("https://registry.example.com/", "holds a scheme; write `registry.example.com`");
    check(
        "registry.example.com/*",
        "holds a wildcard, and an entry covers what is below it; write `registry.example.com`",
    );
    check("*", "write `each registry by name`");
    check("registry.example.com/", "holds a trailing slash; write `registry.example.com`");
    check("registry.example.com/app:1", "holds a tag; write `registry.example.com/app`");
    check("registry.example.com:5000/app:5000", "holds a tag; write `registry.example.com:5000/app`");
    check("registry.example.com:latest", "holds a tag; write `registry.example.com`");
    check("registry.example.com/app@sha256:00", "holds a digest; write `registry.example.com/app`");
    check("Registry.example.com/a", "holds upper case; write `registry.example.com/a`");
    check("registry.example.com/a b", "holds ` `");
    check("régistry.example.com", "holds `é`");
    check("acme", "names no registry; write `docker.io/library/acme`");
    check("acme/app", "names no registry; write `docker.io/acme/app`");
    check("index.docker.io/acme", "write `docker.io/acme`");
    check("registry.example.com:0/a", "port-out-of-range");
    check("my_registry.io/a", "names no valid registry: invalid-format");
    check("registry.example.com./a", "names no valid registry");
    check("[::::]/a", "invalid-ipv6");
    check("registry.example.com//a", "invalid path");
    check("registry.example.com/a..b", "invalid path");
    check(&format!("registry.example.com/{}", "a".repeat(256)), "invalid path");
    check(&"a".repeat(4096), "has 4096 characters");
}

#[test]
fn entries_nest_at_path_boundaries() {
    let within = |inner: &str, outer: &str| {
        RegistryEntry::parse(inner).unwrap().is_within(&RegistryEntry::parse(outer).unwrap())
    };
    assert!(within("registry.example.com/tenants/acme", "registry.example.com"));
    assert!(within("docker.io/acme", "docker.io/acme"));
    assert!(!within("docker.io/acme-evil", "docker.io/acme"));
    assert!(!within("docker.io", "docker.io/acme"));
    assert!(!within("registry.example.com:443", "registry.example.com"));
}

/// A bound a hundred times what it takes, so that only a change of order is seen, on any machine and build.
#[test]
fn reading_is_fast_whatever_the_text() {
    let hostile =
        ["a".repeat(4096), "a/".repeat(500), "a--------".repeat(100), "A_".repeat(500), "[:".repeat(500)];
    let typical = "registry.example.com/tenants/acme/app:1.2".to_owned();
    for text in hostile.iter().chain([&typical]) {
        let start = std::time::Instant::now();
        for _ in 0..1000 {
            std::hint::black_box(Image::parse(std::hint::black_box(text)));
        }
        assert!(start.elapsed().as_millis() < 500, "{} took {:?}", text.len(), start.elapsed());
    }
}

/// Mostly references that are `ok`, with every part present or absent.
fn well_formed() -> impl Strategy<Value = String> {
    let host = "((docker\\.io|index\\.docker\\.io|localhost|[a-z0-9]{1,5}\\.[a-z]{2}|\\[::[1-9]\\])(:[1-9][0-9]{0,3})?/)?";
    let path = "[a-z0-9]{1,5}((\\.|_|__|-|--)[a-z0-9]{1,3})?(/[a-z0-9]{1,4}){0,3}";
    let whole = format!("{host}{path}(:[A-Za-z0-9_][A-Za-z0-9_.-]{{0,6}})?(@sha256:[0-9a-f]{{64}})?");
    proptest::string::string_regex(&whole).unwrap()
}

fn reference() -> impl Strategy<Value = String> {
    prop_oneof![well_formed(), ".{0,40}", "[a-zA-Z/:@.\\[\\]_-]{0,40}"]
}

proptest! {
    #[test]
    fn reading_never_panics_and_is_consistent(text in reference()) {
        let image = Image::parse(&text);
        prop_assert_eq!(image.ok, image.reason.is_empty());
        prop_assert!(image.valid || !image.ok);
        let _ = RegistryEntry::parse(&text);
    }

    #[test]
    fn the_canonical_form_is_its_own(text in well_formed()) {
        let image = Image::parse(&text);
        prop_assume!(image.ok);
        let again = Image::parse(&image.canonical);
        prop_assert_eq!(&again.canonical, &image.canonical);
        prop_assert_eq!((&again.registry, &again.repository, &again.tag, &again.digest),
                        (&image.registry, &image.repository, &image.tag, &image.digest));
    }

    #[test]
    fn an_entry_made_from_an_image_admits_it(text in well_formed()) {
        let image = Image::parse(&text);
        prop_assume!(image.ok);
        let entry = RegistryEntry::parse(&format!("{}/{}", image.registry, image.repository)).unwrap();
        prop_assert!(entry.admits(&image) && entry.is_within(&RegistryEntry::parse(&image.registry).unwrap()));
        let longer = Image::parse(&format!("{}/{}x", image.registry, image.repository));
        prop_assert!(!entry.admits(&longer), "a longer name is another name");
    }
}
