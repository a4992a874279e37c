//! Who may do what: identities, the table of routes and roles, and the one door from an identity to the ledger.
//!
//! [`authorize`] is the only maker of a [`Scope`], and the ledger opens no transaction without one, so a forgotten check
//! does not compile. What it decides by is data: [`matrix::RULES`]. `docs/access.md` prints it.
//!
//! The order of its questions is part of the promise. Whose tenant it is comes before what the caller may do there:
//! asked the other way round, 403 against 404 would tell which tenants exist.

pub mod role;

pub mod identity;

pub mod matrix;

pub mod scope;
pub mod signature;

pub mod subject;

pub mod mint;

pub mod keys;

pub mod token;

pub mod oidc;

pub mod issuers;

pub mod args;

#[cfg(test)]
mod fixtures;

pub use args::AccessArgs;
pub use identity::{Clusters, Contradiction, Identity, Standing, TenantRef};
pub use issuers::Issuers;
pub use matrix::{Action, Limit, Method, Rule};
pub use role::Role;
pub use scope::{Actor, Denied, Power, Scope, authorize};
pub use token::TokenError;
