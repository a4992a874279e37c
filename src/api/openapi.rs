//! The OpenAPI 3.1 document, generated from the route table and the types of its handlers.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{
    HttpMethod, Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn, PathItem,
};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::AdditionalProperties::FreeForm;
use utoipa::openapi::schema::{ComponentsBuilder, ObjectBuilder, Ref, Schema, SchemaFormat, Type};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{InfoBuilder, License, OpenApi, OpenApiBuilder, PathsBuilder, RefOr, Required};

use super::problem::{Code, Document, Fault, MEDIA_TYPE, Problem};
use super::route::{NamedSchema, Route, Success};
use super::{etag, extract};
use portcullis_access::matrix::Method;

/// The name of the security scheme.
const BEARER: &str = "bearer";

const DESCRIPTION: &str = "\
The ledger of tenants, projects, apps, sandboxes and catalog items that gates decide with.

Every change is audited in its own transaction and reaches the gates within 100 ms. Errors are problem documents \
(RFC 9457) with a stable `code`. Lists come in pages; a page's `nextCursor` is the `cursor` of the next. `ETag` is the \
version of a resource, and `If-Match` requires it. A POST with an `Idempotency-Key` may be repeated within 24 hours: the answer \
of the first is returned again. Resources of other tenants are reported as not found.";

/// What a tag is about, by the word before the dot in the names of its actions.
const TAGS: &[(&str, &str)] = &[
    ("version", "The server itself"),
    ("me", "The caller, and tokens"),
    ("cluster", "Clusters"),
    ("tenant", "Tenants"),
    ("member", "Members of a tenant"),
    ("plan", "Plans"),
    ("project", "Projects"),
    ("app", "Apps and their revisions"),
    ("sandbox", "Sandboxes"),
    ("catalog", "The catalog"),
    ("policyset", "Policy sets"),
    ("policy", "Policies, their revisions, and evaluation"),
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
            let operation = operation(route, n > 0);
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

/// Control characters that JSON would leave as they are: a terminal takes them for commands.
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
    let mut add = |named: NamedSchema| {
        all.extend(named.others);
        all.insert(named.name, named.schema);
    };
    add(NamedSchema::of::<Fault>());
    let mut problem = NamedSchema::of::<Document>();
    problem.name = PROBLEM.to_owned();
    add(problem);
    for route in routes {
        route.signature.body.iter().cloned().for_each(&mut add);
        let answers = route.signature.success.iter().filter_map(|success| success.body.as_ref());
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

/// The name of the schema of problems.
pub const PROBLEM: &str = "Problem";

/// The variables of paths: what they are, and what they may hold.
const VARIABLES: &[(&str, &str, Kind)] = &[
    ("c", "Id or name of a cluster.", Kind::Name),
    ("t", "Id or slug of a tenant.", Kind::Name),
    ("p", "Id or slug of a project of the tenant.", Kind::Name),
    ("a", "Id or slug of an app of the project.", Kind::Name),
    ("s", "Id or name (`sbx-001`) of a sandbox of the project.", Kind::Name),
    ("id", "Id, or name where it has one.", Kind::Name),
    ("name", "Name of a plan.", Kind::Name),
    ("slug", "Slug of a catalog item.", Kind::Name),
    ("key", "Key of a setting.", Kind::Name),
    ("subject", "The member, as `issuer#sub`.", Kind::Text),
    ("jti", "Id of a token.", Kind::Uuid),
    ("n", "A revision.", Kind::Number),
    ("m", "The revision to compare with.", Kind::Number),
    ("x", "A revision.", Kind::Number),
    ("y", "The revision to compare with.", Kind::Number),
];

#[derive(Clone, Copy)]
enum Kind {
    Name,
    Text,
    Uuid,
    Number,
}

/// The operation; `alias` where it stands under the route's other path.
pub fn operation(route: &Route, alias: bool) -> Operation {
    let mut id = operation_id(route);
    if alias {
        id.push_str("Alias");
    }
    let mut operation = OperationBuilder::new()
        .operation_id(Some(id))
        .summary(Some(route.rule.what))
        .description(Some(audience(route)))
        .tag(tag(route))
        .parameters(Some(parameters(route)))
        .request_body(body(route));
    operation = if route.rule.is_open() {
        // Said explicitly: an operation without it would have the requirement of the whole document, if it had one.
        operation.security(SecurityRequirement::default())
    } else {
        operation.security(SecurityRequirement::new::<_, [&str; 0], _>(BEARER, []))
    };
    for success in &route.signature.success {
        operation = operation.response(success.status.to_string(), answered(success));
    }
    for (status, codes) in by_status(route) {
        operation = operation.response(status.to_string(), refused(&codes));
    }
    operation.build()
}

/// `clustersCreate`, from the name of the action.
pub fn operation_id(route: &Route) -> String {
    let name = format!("{:?}", route.rule.action);
    let mut letters = name.chars();
    let first = letters.next().map(|letter| letter.to_ascii_lowercase());
    first.into_iter().chain(letters).collect()
}

fn audience(route: &Route) -> String {
    if route.rule.is_open() {
        return "Needs no token.".to_owned();
    }
    let roles = portcullis_access::Role::ALL.into_iter().filter_map(|role| {
        use portcullis_access::matrix::May;
        match route.rule.may(role) {
            May::No => None,
            May::Open | May::Yes => Some(format!("`{role}`")),
            May::Limited(limit) => Some(format!("`{role}` ({})", limit.as_str())),
        }
    });
    format!("For {}.", roles.collect::<Vec<_>>().join(", "))
}

fn parameters(route: &Route) -> Vec<Parameter> {
    let mut all = Vec::new();
    let variables = route.rule.path.split('{').skip(1).filter_map(|rest| rest.split('}').next());
    for name in variables {
        let known = VARIABLES.iter().find(|(known, ..)| *known == name);
        let (_, description, kind) = known.copied().unwrap_or(("", "", Kind::Name));
        all.push(parameter(name, ParameterIn::Path, Required::True, description, variable(kind).into()));
    }
    if let Some(RefOr::T(Schema::Object(query))) = route.signature.query.as_ref().map(|named| &named.schema) {
        for (name, schema) in &query.properties {
            let required = if query.required.contains(name) { Required::True } else { Required::False };
            let description = match schema {
                RefOr::T(Schema::Object(object)) => object.description.clone().unwrap_or_default(),
                _ => String::new(),
            };
            all.push(parameter(name, ParameterIn::Query, required, &description, schema.clone()));
        }
    }
    if route.rule.method != Method::Get && !route.options.secret {
        let schema = ObjectBuilder::new().schema_type(Type::Boolean).build().into();
        let description = "Validates the request and returns the result without storing it.";
        all.push(parameter(extract::DRY_RUN, ParameterIn::Query, Required::False, description, schema));
    }
    if route.signature.if_match {
        let schema = string_schema(1, etag::TAG_MAX).into();
        let description =
            "Applies the change only to this version (`ETag`); `*` or absent means any version.";
        all.push(parameter("If-Match", ParameterIn::Header, Required::False, description, schema));
    }
    if route.idempotent() {
        let schema = string_schema(1, 255).pattern(Some("^[!-~]+$")).into();
        let description = "ProjectPath this request; repeated within 24 hours, it has no effect and the first answer again.";
        all.push(parameter("Idempotency-Key", ParameterIn::Header, Required::False, description, schema));
    }
    all
}

fn parameter(
    name: &str,
    place: ParameterIn,
    required: Required,
    description: &str,
    schema: RefOr<Schema>,
) -> Parameter {
    let description = Some(description).filter(|text| !text.is_empty());
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(required)
        .description(description)
        .schema(Some(schema))
        .build()
}

fn string_schema(min: usize, max: usize) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).min_length(Some(min)).max_length(Some(max))
}

fn variable(kind: Kind) -> ObjectBuilder {
    match kind {
        Kind::Name => string_schema(1, 253).pattern(Some("^[A-Za-z0-9][A-Za-z0-9._-]*$")),
        Kind::Text => string_schema(1, 512),
        Kind::Uuid => string_schema(36, 36).format(Some(SchemaFormat::Custom("uuid".to_owned()))),
        Kind::Number => ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)),
    }
}

fn body(route: &Route) -> Option<utoipa::openapi::request_body::RequestBody> {
    let named = route.signature.body.as_ref()?;
    let required = if route.signature.body_optional { Required::False } else { Required::True };
    let content = ContentBuilder::new().schema(Some(reference(&named.name))).build();
    Some(RequestBodyBuilder::new().required(Some(required)).content("application/json", content).build())
}

fn reference(name: &str) -> Ref {
    Ref::from_schema_name(name)
}

fn answered(success: &Success) -> Response {
    let description = match success.status {
        200 => "OK.",
        201 => "Created.",
        202 => "Accepted.",
        _ => "NoContent.",
    };
    let mut response = ResponseBuilder::new().description(description);
    if let Some((kind, named)) = &success.body {
        let schema: RefOr<Schema> = match named {
            Some(NamedSchema { name, .. }) => reference(name).into(),
            None if *kind == "application/json" => ObjectBuilder::new()
                .schema_type(Type::Object)
                .additional_properties(Some(FreeForm(true)))
                .into(),
            None => ObjectBuilder::new().schema_type(Type::String).into(),
        };
        response = response.content(*kind, ContentBuilder::new().schema(Some(schema)).build());
    }
    let header = |what: &str| {
        let schema = ObjectBuilder::new().schema_type(Type::String);
        HeaderBuilder::new().schema(Some(schema)).description(Some(what)).build()
    };
    if success.location {
        response = response.header("Location", header("Path of the created resource."));
    }
    if success.etag {
        response = response.header("ETag", header("Version of the resource, if it has one."));
    }
    response.build()
}

fn by_status(route: &Route) -> BTreeMap<u16, Vec<Code>> {
    let mut all: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in route.codes() {
        all.entry(code.status().as_u16()).or_default().push(code);
    }
    all
}

fn refused(codes: &[Code]) -> Response {
    let words: Vec<_> = codes.iter().map(|code| format!("`{}`: {}", code.as_str(), code.meaning())).collect();
    let examples = codes.iter().map(|code| {
        let document = Problem::of(*code).document("0198c5f2-7a4e-7c31-b1f5-4a3a7c1d2e9f");
        let value: Value = serde_json::to_value(document).unwrap_or_else(|_| json!({}));
        (code.as_str(), ExampleBuilder::new().value(Some(value)).build())
    });
    let content = ContentBuilder::new().schema(Some(reference(PROBLEM))).examples_from_iter(examples).build();
    let mut response = ResponseBuilder::new().description(words.join("\n\n")).content(MEDIA_TYPE, content);
    if codes.iter().any(|code| code.retry_after().is_some()) {
        let schema = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1));
        let header = HeaderBuilder::new().schema(Some(schema)).description(Some("Seconds to wait.")).build();
        response = response.header("Retry-After", header);
    }
    response.build()
}
