//! The OpenAPI 3.1 document, made from the table of routes and the types of its handlers.

mod operation;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use utoipa::openapi::RefOr;
use utoipa::openapi::path::{HttpMethod, PathItem};
use utoipa::openapi::schema::{ComponentsBuilder, Schema};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{InfoBuilder, License, OpenApi, OpenApiBuilder, PathsBuilder};

use super::problem::{Document, Fault};
use super::route::{Named, Route};
use portcullis_access::matrix::Method;

/// The name of the security scheme.
const BEARER: &str = "bearer";

const DESCRIPTION: &str = "\
The ledger of tenants, projects, apps, sandboxes and catalog that the gate decides from.

Every change is audited in the transaction that makes it, and reaches the gates within 100 ms. Errors are problem documents \
(RFC 9457) with a stable `code`. Lists come in pages; a page's `nextCursor` is the `cursor` of the next. `ETag` names the \
version of a thing, and `If-Match` demands one. A POST with an `Idempotency-Key` may be repeated within 24 hours: the answer \
of the first is sent again. What belongs to another tenant is answered as if it did not exist.";

/// What a tag is about, by the word before the dot in the names of its actions.
const TAGS: &[(&str, &str)] = &[
    ("version", "The server itself"),
    ("me", "Who is asking, and tokens"),
    ("cluster", "Clusters"),
    ("tenant", "Tenants"),
    ("member", "Members of a tenant"),
    ("plan", "Plans"),
    ("project", "Projects"),
    ("app", "Apps and their revisions"),
    ("sandbox", "Sandboxes"),
    ("catalog", "The catalog"),
    ("policyset", "Policy sets"),
    ("policy", "Policies, and what they would say"),
    ("exception", "Exceptions"),
    ("breakglass", "Break-glass"),
    ("scan", "Scans"),
    ("settings", "Settings"),
    ("audit", "The audit log"),
    ("snapshot", "For gates"),
];

/// The whole document.
pub fn document(routes: &[Route]) -> OpenApi {
    let info = InfoBuilder::new()
        .title("Portcullis")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(DESCRIPTION))
        .license(Some(License::new("Apache-2.0")))
        .build();
    let mut paths = PathsBuilder::new();
    for route in routes {
        for (n, path) in route.paths().enumerate() {
            let operation = operation::operation(route, n > 0);
            paths = paths.path(path, PathItem::new(method(route.rule.method), operation));
        }
    }
    let mut components = ComponentsBuilder::new().security_scheme(BEARER, security());
    for (name, schema) in schemas(routes) {
        components = components.schema(name, schema);
    }
    let used: Vec<&str> = routes.iter().map(tag).collect();
    let tags = TAGS
        .iter()
        .filter(|(name, _)| used.contains(name))
        .map(|(name, description)| TagBuilder::new().name(*name).description(Some(*description)).build());
    OpenApiBuilder::new()
        .info(info)
        .paths(paths.build())
        .components(Some(components.build()))
        .tags(Some(tags.collect::<Vec<_>>()))
        .build()
}

/// The document as it is served and printed.
///
/// # Errors
/// Where the document cannot be written as JSON, which is a defect.
pub fn text(routes: &[Route]) -> Result<String, serde_json::Error> {
    document(routes).to_pretty_json().map(|text| visible(&text) + "\n")
}

/// Control characters that JSON would leave as they are: a terminal, or whoever prints to one, takes them for commands.
fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\u{7f}'..='\u{9f}' => {
                // Writing into a text does not fail.
                let _ = write!(shown, "\\u{:04x}", u32::from(c));
            }
            c => shown.push(c),
        }
    }
    shown
}

/// The tag of a route.
fn tag(route: &Route) -> &'static str {
    let word = route.rule.action.as_str().split('.').next().unwrap_or_default();
    match word {
        "features" | "openapi" | "docs" | "jwks" => "version",
        "token" => "me",
        word => TAGS.iter().find(|(name, _)| *name == word).map_or("version", |(name, _)| name),
    }
}

/// Every schema that is referred to, by name; two types of one name are caught by a test.
pub fn schemas(routes: &[Route]) -> BTreeMap<String, RefOr<Schema>> {
    let mut all = BTreeMap::new();
    let mut add = |named: Named| {
        all.extend(named.others);
        all.insert(named.name, named.schema);
    };
    add(Named::of::<Fault>());
    let mut problem = Named::of::<Document>();
    problem.name = operation::PROBLEM.to_owned();
    add(problem);
    for route in routes {
        route.shape.body.iter().cloned().for_each(&mut add);
        let answers = route.shape.success.iter().filter_map(|success| success.body.as_ref());
        answers.filter_map(|(_, named)| named.clone()).for_each(&mut add);
    }
    all
}

fn method(method: Method) -> HttpMethod {
    match method {
        Method::Get => HttpMethod::Get,
        Method::Post => HttpMethod::Post,
        Method::Put => HttpMethod::Put,
        Method::Patch => HttpMethod::Patch,
        Method::Delete => HttpMethod::Delete,
    }
}

fn security() -> SecurityScheme {
    let mut http = Http::new(HttpAuthScheme::Bearer);
    http.bearer_format = Some("JWT".to_owned());
    http.description = Some(
        "A token of this server (`portcullis token`, `POST /api/v1/tokens`) or of a trusted OIDC issuer."
            .to_owned(),
    );
    SecurityScheme::Http(http)
}
