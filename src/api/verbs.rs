//! `POST …/{t}:suspend`: a verb at the end of a path, which the router knows only as a segment of its own.
//!
//! So the path is rewritten before it is routed, `…/acme:suspend` to `…/acme/~suspend`, and a path that was sent with
//! such a segment is led to nothing: there is one way to say it.

use axum::extract::Request;
use axum::http::uri::PathAndQuery;
use axum::http::{Method, Uri};

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
    let led = if path.contains(MARK) {
        Some("/".to_owned())
    } else if request.method() == Method::POST {
        split(path)
    } else {
        None
    };
    if let Some(uri) = led.and_then(|path| moved(request.uri(), &path)) {
        *request.uri_mut() = uri;
    }
    request
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
            ("POST", "/v/tenants/acme", "/v/tenants/acme"),
            ("POST", "/v/tenants/a:b/projects", "/v/tenants/a:b/projects"),
            ("GET", "/v/tenants/acme:suspend", "/v/tenants/acme:suspend"),
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
