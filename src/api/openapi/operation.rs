//! One route as an operation of the document.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use utoipa::openapi::RefOr;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::AdditionalProperties::FreeForm;
use utoipa::openapi::schema::{ObjectBuilder, Ref, Schema, SchemaFormat, Type};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{Required, example::ExampleBuilder};

use super::{BEARER, tag};
use crate::problem::{Code, MEDIA_TYPE, Problem};
use crate::route::{Named, Route, Success};
use crate::{dry_run, etag};
use portcullis_access::matrix::Method;

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
    for success in &route.shape.success {
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
    if let Some(RefOr::T(Schema::Object(query))) = route.shape.query.as_ref().map(|named| &named.schema) {
        for (name, schema) in &query.properties {
            let required = if query.required.contains(name) { Required::True } else { Required::False };
            let description = match schema {
                RefOr::T(Schema::Object(object)) => object.description.clone().unwrap_or_default(),
                _ => String::new(),
            };
            all.push(parameter(name, ParameterIn::Query, required, &description, schema.clone()));
        }
    }
    if route.rule.method != Method::Get && !route.manner.secret {
        let schema = ObjectBuilder::new().schema_type(Type::Boolean).build().into();
        let description = "Answers what would be, by the code that would do it, and keeps nothing of it.";
        all.push(parameter(dry_run::NAME, ParameterIn::Query, Required::False, description, schema));
    }
    if route.shape.if_match {
        let schema = text(1, etag::TAG_MAX).into();
        let description = "The version the change is meant for, as `ETag` named it; `*` or nothing is any.";
        all.push(parameter("If-Match", ParameterIn::Header, Required::False, description, schema));
    }
    if route.idempotent() {
        let schema = text(1, 255).pattern(Some("^[!-~]+$")).into();
        let description =
            "Names this request; repeated within 24 hours, it has no effect and the first answer again.";
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

fn text(min: usize, max: usize) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).min_length(Some(min)).max_length(Some(max))
}

fn variable(kind: Kind) -> ObjectBuilder {
    match kind {
        Kind::Name => text(1, 253).pattern(Some("^[A-Za-z0-9][A-Za-z0-9._-]*$")),
        Kind::Text => text(1, 512),
        Kind::Uuid => text(36, 36).format(Some(SchemaFormat::Custom("uuid".to_owned()))),
        Kind::Number => ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)),
    }
}

fn body(route: &Route) -> Option<utoipa::openapi::request_body::RequestBody> {
    let named = route.shape.body.as_ref()?;
    let required = if route.shape.body_optional { Required::False } else { Required::True };
    let content = ContentBuilder::new().schema(Some(reference(&named.name))).build();
    Some(RequestBodyBuilder::new().required(Some(required)).content("application/json", content).build())
}

fn reference(name: &str) -> Ref {
    Ref::from_schema_name(name)
}

fn answered(success: &Success) -> Response {
    let description = match success.status {
        200 => "Here it is.",
        201 => "Made.",
        202 => "Taken, and being done.",
        _ => "Done.",
    };
    let mut response = ResponseBuilder::new().description(description);
    if let Some((kind, named)) = &success.body {
        let schema: RefOr<Schema> = match named {
            Some(Named { name, .. }) => reference(name).into(),
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
        response = response.header("Location", header("Where it is."));
    }
    if success.etag {
        response = response.header("ETag", header("Its version, where it has one."));
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
