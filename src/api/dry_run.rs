//! `?dryRun=true`: everything as it would be, by the code that would do it, and then nothing of it is kept.
//!
//! It is taken off the query before the route's own schema sees it, and kept with the caller, whose commit rolls back.

use axum::extract::Request;
use axum::http::Uri;
use axum::http::uri::PathAndQuery;

use super::problem::{Fault, Problem};

/// The parameter, of every route that changes something.
pub const NAME: &str = "dryRun";

/// Takes the parameter off a request; whether it asks for a dry run.
///
/// # Errors
/// 400 for another word than `true` or `false`, or the parameter twice.
pub fn take(mut request: Request) -> Result<(Request, bool), Problem> {
    let Some(query) = request.uri().query() else { return Ok((request, false)) };
    let own = |pair: &&str| pair.split('=').next() == Some(NAME);
    let given: Vec<String> = query.split('&').filter(own).map(str::to_owned).collect();
    let dry = match given.as_slice() {
        [] => return Ok((request, false)),
        [one] if one == "dryRun=true" => true,
        [one] if one == "dryRun=false" => false,
        _ => {
            return Err(Problem::invalid(vec![Fault::new(
                format!("?{NAME}"),
                "is neither `true` nor `false`",
            )]));
        }
    };
    let rest: Vec<&str> = query.split('&').filter(|pair| !own(pair)).collect();
    let path = request.uri().path();
    let path = if rest.is_empty() { path.to_owned() } else { format!("{path}?{}", rest.join("&")) };
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query = PathAndQuery::try_from(path).ok();
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
    Ok((request, dry))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(uri: &str) -> Option<(String, bool)> {
        let request = Request::builder().uri(uri).body(axum::body::Body::empty()).unwrap();
        take(request).ok().map(|(request, dry)| (request.uri().to_string(), dry))
    }

    #[test]
    fn it_is_taken_off_and_the_rest_stays() {
        let same = |uri: &str| Some((uri.to_owned(), false));
        assert_eq!(taken("/x"), same("/x"));
        assert_eq!(taken("/x?a=1&b=2"), same("/x?a=1&b=2"));
        assert_eq!(taken("/x?dryRun=true"), Some(("/x".to_owned(), true)));
        assert_eq!(taken("/x?a=1&dryRun=true&b=2"), Some(("/x?a=1&b=2".to_owned(), true)));
        assert_eq!(taken("/x?dryRun=false"), same("/x"));
        for wrong in ["/x?dryRun", "/x?dryRun=All", "/x?dryRun=true&dryRun=true"] {
            assert_eq!(taken(wrong), None, "{wrong}");
        }
    }
}
