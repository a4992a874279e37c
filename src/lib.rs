//! Portcullis: the admission gate of a multi-tenant Kubernetes platform.
//!
//! A write reaches the API server, the API server asks the gate, and the gate answers by a law written in Rego.
//! At the heart is one pure function, [`admission::decide`]; every door leads to it.
//!
//! The rooms, in the order in which they are best read. Imports point down this list only, which
//! `tests/it/tidy.rs` holds:
//!
//! | room | one sentence |
//! |---|---|
//! | [`cli`] | turns words on the command line into one call; `cli::serve` is the composition root |
//! | [`server`] | accepts bytes over TLS, bounds them, answers probes; knows no policy |
//! | [`api`] | lets people read and change the ledger over HTTP; knows no SQL and no sockets |
//! | [`admission`] | turns a review into a verdict; knows no files and no sockets |
//! | [`policy`] | holds the law: sources, bundle, compiled set, findings; knows no HTTP |
//! | [`cluster`] | what we know of the cluster and what we write to it; never on the path of a review |
//! | [`store`] | the ledger, as far as a gate reads it; knows no HTTP and no Rego |
//! | [`tenancy`] | the words of the domain: slugs, names, images, requesters, the snapshot; knows no other room |
//! | [`access`] | who may do what in the ledger: identities, roles × routes, scopes; knows no other room |
//! | [`certs`], [`lifecycle`], [`telemetry`] | closets: certificates; readiness and drain; logs, metrics, the decision log |
//!
//! `docs/architecture.md` walks through a review, a changed policy and a shutdown.

pub mod cli;

pub mod server;

pub mod api;

pub mod admission;

pub mod policy;

pub mod cluster;

pub mod store;

pub mod tenancy;

pub mod access;

pub mod certs;

pub mod lifecycle;

pub mod telemetry;
