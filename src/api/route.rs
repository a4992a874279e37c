//! One row of the route table, and the description of its handler's signature.
//!
//! What a route takes and answers is written once, as the types of its handler. From them come the OpenAPI document, the
//! checks of bodies and queries, and the tests' list; so none of them can differ from the code.

use std::future::Future;

use axum::handler::Handler;
use axum::routing::{MethodFilter, MethodRouter, on};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{PartialSchema, ToSchema};

use super::Api;
use super::problem::Code;
use portcullis_access::Action;
use portcullis_access::matrix::{self, Method, Rule};

/// A schema with the name it has in the document, and those it refers to.
#[derive(Clone)]
pub struct NamedSchema {
    /// Under `#/components/schemas`.
    pub name: String,
    /// The schema itself.
    pub schema: RefOr<Schema>,
    /// What it refers to, by name, however deep.
    pub others: Vec<(String, RefOr<Schema>)>,
}

/// What a handler takes and answers.
#[derive(Clone, Default)]
pub struct Signature {
    /// Of the body, where it takes one.
    pub body: Option<NamedSchema>,
    /// Whether it may be left out.
    pub body_optional: bool,
    /// Of the query as an object of its parameters, where it takes one.
    pub query: Option<NamedSchema>,
    /// Whether it takes `If-Match`.
    pub if_match: bool,
    /// Whether it takes the caller.
    pub caller: bool,
    pub success: Vec<Success>,
}

/// A success response.
#[derive(Clone)]
pub struct Success {
    /// 200, 201, 202 or 204.
    pub status: u16,
    /// The media type and schema of its body; 204 has none.
    pub body: Option<(&'static str, Option<NamedSchema>)>,
    /// Whether it has a `Location` header.
    pub location: bool,
    /// Whether it names the version of what it shows.
    pub etag: bool,
}

/// Something in a handler's signature, be it taken or answered.
pub trait SignaturePart {
    /// Writes itself into the shape.
    fn describe(signature: &mut Signature);
}

/// A handler, whose arguments and answer all describe themselves. Implemented for every `async fn` of up to six of them.
pub trait HandlerSignature<T> {
    fn signature() -> Signature;
}

/// One row.
pub struct Route {
    /// Who may, how, where, and what it is in a sentence.
    pub rule: &'static Rule,
    /// What its handler takes and answers.
    pub signature: Signature,
    /// Codes that it may answer beside those that every route of its shape has.
    pub problems: &'static [Code],
    /// What is different about it.
    pub options: RouteOptions,
    /// The handler, as axum takes it.
    pub(super) handler: MethodRouter<Api>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RouteOptions {
    /// Responses contain secrets and are never stored for a replay.
    pub secret: bool,
    /// A long poll: neither the rate limit nor the timeout applies.
    pub waits: bool,
}

/// A row: the action's rule in the matrix, its handler, and codes of its own.
pub fn route<H, T>(action: Action, handler: H, problems: &'static [Code]) -> Route
where
    H: Handler<T, Api> + HandlerSignature<T>,
    T: 'static,
{
    let rule = matrix::rule(action);
    let handler = on(filter(rule.method), handler);
    Route { rule, signature: H::signature(), problems, options: RouteOptions::default(), handler }
}

// === impl Route ===

impl Route {
    /// Whether it answers pages of a list.
    pub fn is_list(&self) -> bool {
        let bodies = self.signature.success.iter().filter_map(|success| success.body.as_ref()?.1.as_ref());
        bodies.into_iter().any(|body| body.name.ends_with("Page"))
    }

    #[must_use]
    pub fn secret(mut self) -> Self {
        self.options.secret = true;
        self
    }

    #[must_use]
    pub fn waits(mut self) -> Self {
        self.options.waits = true;
        self
    }

    /// The path, and the other one that means the same.
    pub fn paths(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.rule.path).chain(self.rule.alias)
    }

    /// Whether a repeated request with the same `Idempotency-Key` is answered from the first.
    pub fn idempotent(&self) -> bool {
        self.rule.method == Method::Post && !self.rule.is_open() && !self.options.secret
    }

    /// Every code that it may answer, in the order of the catalogue.
    pub fn codes(&self) -> Vec<Code> {
        let mut codes = vec![Code::Internal, Code::ServiceUnavailable, Code::RateLimitExceeded];
        codes.extend(self.problems);
        if !self.rule.is_open() {
            codes.extend([Code::Unauthorized, Code::TokenExpired, Code::TokenRevoked, Code::Forbidden]);
            // Unknown query parameters are rejected on every authenticated route.
            codes.push(Code::ValidationError);
        }
        if self.signature.body.is_some() {
            use Code::{MalformedJson, PayloadTooLarge, RequestTimeout, UnsupportedMediaType};
            codes.extend([MalformedJson, PayloadTooLarge, RequestTimeout, UnsupportedMediaType]);
        }
        if self.signature.if_match {
            codes.push(Code::PreconditionFailed);
        }
        if self.idempotent() {
            codes.extend([Code::Conflict, Code::UnprocessableEntity]);
        }
        for (variable, code) in
            [("{c}", Code::ClusterNotFound), ("{t}", Code::TenantNotFound), ("{p}", Code::ProjectNotFound)]
        {
            if self.rule.path.contains(variable) {
                codes.push(code);
            }
        }
        codes.sort_unstable();
        codes.dedup();
        codes
    }
}

fn filter(method: Method) -> MethodFilter {
    match method {
        // HEAD comes with it.
        Method::Get => MethodFilter::GET,
        Method::Post => MethodFilter::POST,
        Method::Put => MethodFilter::PUT,
        Method::Patch => MethodFilter::PATCH,
        Method::Delete => MethodFilter::DELETE,
    }
}

// === impl NamedSchema ===

impl NamedSchema {
    /// The schema of a type.
    pub fn of<T: ToSchema>() -> Self {
        let mut others = Vec::new();
        T::schemas(&mut others);
        Self { name: T::name().into_owned(), schema: <T as PartialSchema>::schema(), others }
    }
}

// === impl HandlerSignature ===

macro_rules! handler_signature {
    ($($part:ident)*) => {
        // The tuple is the one by which axum knows a handler of these arguments.
        impl<F, Fut, Answer, M, $($part,)*> HandlerSignature<(M, $($part,)*)> for F
        where
            F: FnOnce($($part,)*) -> Fut,
            Fut: Future<Output = Answer>,
            Answer: SignaturePart,
            $($part: SignaturePart,)*
        {
            fn signature() -> Signature {
                let mut signature = Signature::default();
                $($part::describe(&mut signature);)*
                Answer::describe(&mut signature);
                signature
            }
        }
    };
}

handler_signature!(A1);
handler_signature!(A1 A2);
handler_signature!(A1 A2 A3);
handler_signature!(A1 A2 A3 A4);
handler_signature!(A1 A2 A3 A4 A5);
handler_signature!(A1 A2 A3 A4 A5 A6);

impl<A: SignaturePart, E> SignaturePart for Result<A, E> {
    fn describe(signature: &mut Signature) {
        A::describe(signature);
    }
}

impl<S> SignaturePart for axum::extract::State<S> {
    fn describe(_: &mut Signature) {}
}
