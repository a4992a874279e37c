//! What the grammar admits and a gate must not: references that runtimes read differently, or that nobody can dial.

use std::net::Ipv6Addr;

use super::grammar::{Parts, bracketed, split_port};

/// Longest DNS label.
const LABEL_MAX: usize = 63;

/// Why a valid reference is not to be judged by its parts; `None` when it may be.
pub(super) fn objection(parts: &Parts<'_>) -> Option<&'static str> {
    host_objection(parts.registry).or_else(|| is_local_image_id(parts).then_some("local-image-id"))
}

/// Why a registry is refused, given that it is empty or a domain of the grammar.
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

/// `sha256:6567` is a tag to the grammar and to containerd the beginning of a cached image's id (`digestset.Lookup`), which
/// it then runs unseen, however short.
fn is_local_image_id(parts: &Parts<'_>) -> bool {
    parts.registry == "docker.io"
        && parts.path_prefix.len() + parts.path.len() == "library/sha256".len()
        && matches!(parts.path, "sha256" | "library/sha256")
        && parts.tag.is_some_and(|tag| tag.bytes().all(|byte| byte.is_ascii_hexdigit()))
}
