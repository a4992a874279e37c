//! One row of the table of routes, and what its handler's signature says about it.
//!
//! What a route takes and answers is written once, as the types of its handler. From them come the OpenAPI document, the
//! checks of bodies and queries, and the tests' list; so none of these can say something else than the code does.

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
pub struct Named {
    /// Under `#/components/schemas`.
    pub name: String,
    /// The schema itself.
    pub schema: RefOr<Schema>,
    /// What it refers to, by name, however deep.
    pub others: Vec<(String, RefOr<Schema>)>,
}

/// What a handler takes and answers.
#[derive(Clone, Default)]
pub struct Shape {
    /// Of the body, where it takes one.
    pub body: Option<Named>,
    /// Whether it may be left out.
    pub body_optional: bool,
    /// Of the query as an object of its parameters, where it takes one.
    pub query: Option<Named>,
    /// Whether it asks for `If-Match`.
    pub if_match: bool,
    /// Whether it asks who is calling.
    pub caller: bool,
    /// What it answers when all is well.
    pub success: Vec<Success>,
}

/// An answer when all is well.
#[derive(Clone)]
pub struct Success {
    /// 200, 201, 202 or 204.
    pub status: u16,
    /// The media type and schema of its body; 204 has none.
    pub body: Option<(&'static str, Option<Named>)>,
    /// Whether it says where the new thing is.
    pub location: bool,
    /// Whether it names the version of what it shows.
    pub etag: bool,
}

/// Something in a handler's signature, be it taken or answered.
pub trait Part {
    /// Writes itself into the shape.
    fn describe(shape: &mut Shape);
}

/// A handler, whose arguments and answer all describe themselves. Implemented for every `async fn` of up to six of them.
pub trait Described<T> {
    /// What the signature says.
    fn shape() -> Shape;
}

/// One row.
pub struct Route {
    /// Who may, how, where, and what it is in a sentence.
    pub rule: &'static Rule,
    /// What its handler takes and answers.
    pub shape: Shape,
    /// Codes that it may answer beside those that every route of its shape has.
    pub problems: &'static [Code],
    /// What is different about it.
    pub manner: Manner,
    /// The handler, as axum takes it.
    pub(super) handler: MethodRouter<Api>,
}

/// How a route differs from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Manner {
    /// Its answers hold what must not be kept, so an `Idempotency-Key` does not make them replayed.
    pub secret: bool,
    /// It waits for something to happen, so neither rate limit nor deadline of others holds for it.
    pub waits: bool,
}

/// A row: the action's rule in the matrix, its handler, and codes of its own.
pub fn route<H, T>(action: Action, handler: H, problems: &'static [Code]) -> Route
where
    H: Handler<T, Api> + Described<T>,
    T: 'static,
{
    let rule = matrix::rule(action);
    let handler = on(filter(rule.method), handler);
    Route { rule, shape: H::shape(), problems, manner: Manner::default(), handler }
}

// === impl Route ===

impl Route {
    /// Whether it answers pages of a list.
    pub fn is_list(&self) -> bool {
        let bodies = self.shape.success.iter().filter_map(|success| success.body.as_ref()?.1.as_ref());
        bodies.into_iter().any(|body| body.name.ends_with("Page"))
    }

    /// Its answers are never kept for a replay.
    #[must_use]
    pub fn secret(mut self) -> Self {
        self.manner.secret = true;
        self
    }

    /// It is a long poll.
    #[must_use]
    pub fn waits(mut self) -> Self {
        self.manner.waits = true;
        self
    }

    /// The path, and the other one that means the same.
    pub fn paths(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.rule.path).chain(self.rule.alias)
    }

    /// Whether a repeated request with the same `Idempotency-Key` is answered from the first.
    pub fn idempotent(&self) -> bool {
        self.rule.method == Method::Post && !self.rule.is_open() && !self.manner.secret
    }

    /// Every code that it may answer, in the order of the catalogue.
    pub fn codes(&self) -> Vec<Code> {
        let mut codes = vec![Code::Internal, Code::ServiceUnavailable, Code::RateLimitExceeded];
        codes.extend(self.problems);
        if !self.rule.is_open() {
            codes.extend([Code::Unauthorized, Code::TokenExpired, Code::TokenRevoked, Code::Forbidden]);
            // A parameter that the route does not know is refused wherever somebody is asked for.
            codes.push(Code::ValidationError);
        }
        if self.shape.body.is_some() {
            use Code::{MalformedJson, PayloadTooLarge, RequestTimeout, UnsupportedMediaType};
            codes.extend([MalformedJson, PayloadTooLarge, RequestTimeout, UnsupportedMediaType]);
        }
        if self.shape.if_match {
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

// === impl Named ===

impl Named {
    /// The schema of a type.
    pub fn of<T: ToSchema>() -> Self {
        let mut others = Vec::new();
        T::schemas(&mut others);
        Self { name: T::name().into_owned(), schema: <T as PartialSchema>::schema(), others }
    }
}

// === impl Described ===

macro_rules! described {
    ($($part:ident)*) => {
        // The tuple is the one by which axum knows a handler of these arguments.
        impl<F, Fut, Answer, M, $($part,)*> Described<(M, $($part,)*)> for F
        where
            F: FnOnce($($part,)*) -> Fut,
            Fut: Future<Output = Answer>,
            Answer: Part,
            $($part: Part,)*
        {
            fn shape() -> Shape {
                let mut shape = Shape::default();
                $($part::describe(&mut shape);)*
                Answer::describe(&mut shape);
                shape
            }
        }
    };
}

described!(A1);
described!(A1 A2);
described!(A1 A2 A3);
described!(A1 A2 A3 A4);
described!(A1 A2 A3 A4 A5);
described!(A1 A2 A3 A4 A5 A6);

impl<A: Part, E> Part for Result<A, E> {
    fn describe(shape: &mut Shape) {
        A::describe(shape);
    }
}

impl<S> Part for axum::extract::State<S> {
    fn describe(_: &mut Shape) {}
}
