//! Every route there is, on one page.
//!
//! Method, path, audience and sentence of an action stand in [`crate::access::matrix`]; what is taken and answered, in the
//! handler's signature. A row adds the codes that the handler may answer beside those of every route of its shape.

use super::problem::Code;
use super::route::{Route, route};
use super::{clusters, meta};
use crate::access::Action as A;

/// The table.
#[rustfmt::skip] // a route, a line
pub fn table() -> Vec<Route> {
    vec![
        route(A::Version, meta::version, &[]),
        route(A::Features, meta::features, &[]),
        route(A::OpenApi, meta::openapi, &[]),
        route(A::Docs, meta::docs, &[]),
        route(A::Jwks, meta::jwks, &[]),
        route(A::Me, meta::me, &[]),

        route(A::ClustersList,   clusters::list,   &[]),
        route(A::ClustersCreate, clusters::create, &[Code::MasterKeyMissing, Code::UnprocessableEntity]),
        route(A::ClustersGet,    clusters::get,    &[]),
        route(A::ClustersUpdate, clusters::update, &[]),
        route(A::ClustersDelete, clusters::delete, &[Code::HasDependents]),
    ]
}

#[cfg(test)]
mod tests;
