//! `POST …/{t}:suspend`: a verb at the end of a path, which the router knows only as a segment of its own.
//!
//! So the path is rewritten before it is routed, `…/acme:suspend` to `…/acme/~suspend`, and a path that was sent with
//! such a segment is led to nothing: there is one way to say it.

use axum::extract::Request;
use axum::http::uri::PathAndQuery;
use axum::http::{Method, Uri};

use portcullis_access::matrix::{RULES, Rule};

/// Begins a segment that is a verb.
const MARK: &str = "/~";

/// A path of the table as the router has it.
pub fn routed(path: &str) -> String {
    match path.rsplit_once(':') {
        Some((thing, verb)) => format!("{thing}{MARK}{verb}"),
        None => path.to_owned(),
    }
}

/// Where a request is led.
pub fn rewrite(mut request: Request) -> Request {
    let path = request.uri().path();
    // A colon may be sent as `%3A` (RFC 3986, 2.1 and 6.2.2); some clients always do.
    let plain = decode_colons(path);
    let led = if path.contains(MARK) {
        Some("/".to_owned())
    } else if request.method() == Method::POST || known(&plain) {
        split(&plain)
    } else {
        None
    };
    if let Some(uri) = led.and_then(|path| moved(request.uri(), &path)) {
        *request.uri_mut() = uri;
    }
    request
}

/// A path with the colons of its last segment as they are.
fn decode_colons(path: &str) -> String {
    let (before, last) = path.rsplit_once('/').unwrap_or(("", path));
    format!("{before}/{}", last.replace("%3A", ":").replace("%3a", ":"))
}

/// Whether a route of the table stands at this path, so that another method than its own is told which is. Other last
/// segments may hold a colon and mean it: the subject of a member is one.
fn known(path: &str) -> bool {
    let Some((thing, verb)) = path.rsplit_once(':').filter(|(_, verb)| !verb.contains('/')) else {
        return false;
    };
    let fits = |rule: &&Rule| {
        rule.path.rsplit_once(':').is_some_and(|(template, known)| known == verb && like(template, thing))
    };
    RULES.iter().any(fits)
}

/// Whether a path is one that this template of the table makes.
fn like(template: &str, path: &str) -> bool {
    let (template, path) = (template.split('/'), path.split('/'));
    template.clone().count() == path.clone().count()
        && template.zip(path).all(|(known, segment)| known == segment || known.starts_with('{'))
}

/// Only the last segment has a verb, and neither ids nor slugs hold a colon.
fn split(path: &str) -> Option<String> {
    let (before, last) = path.rsplit_once('/')?;
    let (thing, verb) = last.split_once(':')?;
    Some(format!("{before}/{thing}{MARK}{verb}"))
}

fn moved(uri: &Uri, path: &str) -> Option<Uri> {
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(format!("{path}{query}")).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verb_is_the_end_of_a_posted_path() {
        let cases = [
            ("POST", "/v/tenants/acme:suspend?x=1", "/v/tenants/acme/~suspend?x=1"),
            ("POST", "/v/tenants/acme%3Asuspend?x=1", "/v/tenants/acme/~suspend?x=1"),
            ("POST", "/v/tenants/acme%3aresume", "/v/tenants/acme/~resume"),
            ("GET", "/api/v1/exceptions/x%3Aapprove", "/api/v1/exceptions/x/~approve"),
            ("PUT", "/v/members/x%3Aresume", "/v/members/x%3Aresume"),
            ("POST", "/v/tenants/acme", "/v/tenants/acme"),
            ("POST", "/v/tenants/a:b/projects", "/v/tenants/a:b/projects"),
            ("GET", "/v/tenants/acme:suspend", "/v/tenants/acme:suspend"),
            ("GET", "/api/v1/exceptions/x:approve?a=b", "/api/v1/exceptions/x/~approve?a=b"),
            ("GET", "/api/v1/exceptions/x:y", "/api/v1/exceptions/x:y"),
            ("PUT", "/api/v1/clusters/c/tenants/t:resume", "/api/v1/clusters/c/tenants/t/~resume"),
            (
                "PUT",
                "/api/v1/clusters/c/tenants/t/members/x:resume",
                "/api/v1/clusters/c/tenants/t/members/x:resume",
            ),
            ("POST", "/v/tenants/acme/~suspend", "/"),
            ("GET", "/v/~suspend", "/"),
        ];
        for (method, from, to) in cases {
            let request =
                Request::builder().method(method).uri(from).body(axum::body::Body::empty()).unwrap();
            assert_eq!(rewrite(request).uri(), to);
        }
        assert_eq!(routed("/v/tenants/{t}:suspend"), "/v/tenants/{t}/~suspend");
    }
}
