//! The grammar of distribution/reference, as its regular expressions and `ParseNormalizedNamed` have it, by hand.
//!
//! ```text
//! reference := name [ ":" tag ] [ "@" digest ]
//! name      := [ domain "/" ] component { "/" component }
//! domain    := host [ ":" digits ]     host := DNS labels | "[" hex and colons "]"
//! component := [a-z0-9]+ { separator [a-z0-9]+ }     separator := "." | "_" | "__" | "-"+
//! tag       := [A-Za-z0-9_][A-Za-z0-9_.-]{0,127}
//! ```

use std::net::Ipv6Addr;

/// The longest useful reference has under 800 bytes: host of 253, port, path of 255, tag of 128, sha512 digest.
pub(super) const LENGTH_MAX: usize = 1024;
const PATH_MAX: usize = 255;
const TAG_MAX: usize = 128;

pub(super) const INVALID: &str = "invalid-format";
pub(super) const UPPERCASE_PATH: &str = "uppercase-in-repository";
pub(super) const TOO_LONG: &str = "name-too-long";

/// The parts of a reference that the grammar accepts, borrowed from its text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts<'a> {
    /// Domain, `docker.io` where none is written, empty where the first component only looks like one.
    pub(super) registry: &'a str,
    /// `library/`, or nothing.
    pub(super) path_prefix: &'static str,
    pub(super) path: &'a str,
    pub(super) tag: Option<&'a str>,
    pub(super) digest: Option<&'a str>,
}

/// Reads and normalises; the error is a word of the vocabulary of `images.jsonl`.
pub(super) fn read(raw: &str) -> Result<Parts<'_>, &'static str> {
    if raw.len() > LENGTH_MAX {
        return Err(TOO_LONG);
    }
    if raw.len() == 64 && is_lower_hex(raw) {
        return Err("identifier-64hex");
    }
    let (registry, path_prefix, rest) = split_registry(raw);
    let remote = rest.split_once(':').map_or(rest, |(before, _)| before);
    if holds_uppercase(remote) {
        return Err(UPPERCASE_PATH);
    }
    match matched(raw, registry, path_prefix, rest) {
        Some(parts) => measured(parts),
        None if matches_in_lower_case(registry, rest) => Err(UPPERCASE_PATH),
        None => Err(INVALID),
    }
}

/// Which text before the first slash is a registry is a convention of Docker's, not of the grammar.
fn split_registry(raw: &str) -> (&str, &'static str, &str) {
    let Some((first, rest)) = raw.split_once('/') else {
        return ("docker.io", "library/", raw);
    };
    let registry = match first {
        "localhost" => first,
        "docker.io" | "index.docker.io" => {
            let prefix = if rest.contains('/') { "" } else { "library/" };
            return ("docker.io", prefix, rest);
        }
        _ if first.contains(['.', ':']) || holds_uppercase(first) => first,
        _ => return ("docker.io", "", raw),
    };
    (registry, "", rest)
}

fn matched<'a>(
    raw: &'a str,
    registry: &'a str,
    path_prefix: &'static str,
    rest: &'a str,
) -> Option<Parts<'a>> {
    // Neither path nor tag can hold `@`, nor the path `:`, so the first of each divides.
    let (named, digest) = split(rest, '@');
    let (path, tag) = split(named, ':');
    if !is_path(path) || !tag.is_none_or(is_tag) || !digest.is_none_or(is_digest) {
        return None;
    }
    if is_domain(registry) {
        return Some(Parts { registry, path_prefix, path, tag, digest });
    }
    // `my_registry.io/app` is no domain but a valid path component, so the grammar reads a path without a registry.
    // Such a registry is part of `raw`, so the path is a prefix of `raw`.
    let path = raw.get(..registry.len() + 1 + path.len())?;
    is_path(path).then_some(Parts { registry: "", path_prefix: "", path, tag, digest })
}

fn measured(parts: Parts<'_>) -> Result<Parts<'_>, &'static str> {
    if parts.path_prefix.len() + parts.path.len() > PATH_MAX {
        return Err(TOO_LONG);
    }
    match parts.digest.and_then(digest_objection) {
        Some(reason) => Err(reason),
        None => Ok(parts),
    }
}

/// The reference implementation detects upper case by trying again in lower case.
fn matches_in_lower_case(registry: &str, rest: &str) -> bool {
    if !registry.bytes().chain(rest.bytes()).any(|b| b.is_ascii_uppercase()) {
        return false;
    }
    let (registry, rest) = (registry.to_ascii_lowercase(), rest.to_ascii_lowercase());
    let joined = [registry.as_str(), "/", rest.as_str()].concat();
    matched(&joined, &registry, "", &rest).is_some()
}

fn split(text: &str, at: char) -> (&str, Option<&str>) {
    text.split_once(at).map_or((text, None), |(before, after)| (before, Some(after)))
}

/// Components by `/`, each runs of `[a-z0-9]` joined by one separator.
fn is_path(path: &str) -> bool {
    #[derive(Clone, Copy, PartialEq)]
    enum After {
        Slash,
        Alphanumeric,
        Dot,
        Underscore,
        TwoUnderscores,
        Dash,
    }
    let mut after = After::Slash;
    for byte in path.bytes() {
        after = match (byte, after) {
            (b'a'..=b'z' | b'0'..=b'9', _) => After::Alphanumeric,
            (b'.', After::Alphanumeric) => After::Dot,
            (b'_', After::Alphanumeric) => After::Underscore,
            (b'_', After::Underscore) => After::TwoUnderscores,
            (b'-', After::Alphanumeric | After::Dash) => After::Dash,
            (b'/', After::Alphanumeric) => After::Slash,
            _ => return false,
        };
    }
    after == After::Alphanumeric
}

fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    tag.len() <= TAG_MAX
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|b| word(b) || matches!(b, b'.' | b'-'))
}

/// `algorithm:hex` with 32 or more hex digits; the algorithm's own rules are checked later.
fn is_digest(digest: &str) -> bool {
    let Some((algorithm, hex)) = digest.split_once(':') else { return false };
    let is_word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_alphabetic()) && word.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    algorithm.split(['-', '_', '+', '.']).all(is_word)
        && hex.len() >= 32
        && hex.bytes().all(|b| b.is_ascii_hexdigit())
}

fn digest_objection(digest: &str) -> Option<&'static str> {
    let (algorithm, hex) = digest.split_once(':')?;
    let length = match algorithm {
        "sha256" => 64,
        "sha512" => 128,
        _ if holds_uppercase(algorithm) => return Some("digest-invalid-format"),
        _ => return Some("digest-unsupported"),
    };
    if hex.len() != length {
        return Some("digest-invalid-length");
    }
    (!is_lower_hex(hex)).then_some("digest-invalid-format")
}

/// `host[:digits]`.
pub(super) fn is_domain(domain: &str) -> bool {
    let (host, port) = split_port(domain);
    port.is_none_or(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit())) && is_host(host)
}

/// Host and what follows its colon; the colons inside brackets are the address's.
pub(super) fn split_port(domain: &str) -> (&str, Option<&str>) {
    match domain.rfind(']').and_then(|end| domain.split_at_checked(end + 1)) {
        Some((host, "")) => (host, None),
        Some((host, after)) => match after.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None => (domain, None),
        },
        None => split(domain, ':'),
    }
}

fn is_host(host: &str) -> bool {
    if let Some(address) = bracketed(host) {
        return !address.is_empty() && address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':');
    }
    host.split('.').all(|label| {
        !label.is_empty()
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    })
}

pub(super) fn bracketed(host: &str) -> Option<&str> {
    host.strip_prefix('[')?.strip_suffix(']')
}

pub(super) fn is_lower_hex(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// As Go's `ToLower(s) != s`: any script's upper case, though only ASCII can get further than here.
fn holds_uppercase(text: &str) -> bool {
    if text.is_ascii() {
        return text.bytes().any(|b| b.is_ascii_uppercase());
    }
    text.chars().any(|c| !c.to_lowercase().eq([c]))
}

// === References that match the grammar and are refused ===

const LABEL_MAX: usize = 63;

/// Why a valid reference is not `ok`.
pub(super) fn objection(parts: &Parts<'_>) -> Option<&'static str> {
    host_objection(parts.registry).or_else(|| is_local_image_id(parts).then_some("local-image-id"))
}

/// Why a registry is refused; it is empty or a domain of the grammar.
pub(super) fn host_objection(registry: &str) -> Option<&'static str> {
    if registry.is_empty() {
        return Some("empty-registry"); // containerd's own parser would dial the first path component
    }
    if registry.bytes().any(|b| b.is_ascii_uppercase()) {
        return Some("uppercase-registry-host"); // the same host to DNS, another string to every allowlist
    }
    let (host, port) = split_port(registry);
    if let Some(address) = bracketed(host) {
        if address.parse::<Ipv6Addr>().is_err() {
            return Some("invalid-ipv6");
        }
    } else if host.split('.').any(|label| label.len() > LABEL_MAX) {
        return Some("host-label-too-long");
    }
    port.is_some_and(|port| !is_port(port)).then_some("port-out-of-range")
}

/// 1 to 65535 without leading zeros, which would be a second spelling of the same port.
fn is_port(port: &str) -> bool {
    !port.starts_with('0') && port.parse::<u16>().is_ok()
}

/// To the grammar `sha256:6567` is a tag; containerd resolves it as the start of a cached image's id
/// (`digestset.Lookup`), of any length, and runs that image.
fn is_local_image_id(parts: &Parts<'_>) -> bool {
    parts.registry == "docker.io"
        && parts.path_prefix.len() + parts.path.len() == "library/sha256".len()
        && matches!(parts.path, "sha256" | "library/sha256")
        && parts.tag.is_some_and(|tag| tag.bytes().all(|byte| byte.is_ascii_hexdigit()))
}
