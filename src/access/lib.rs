//! Authentication and authorization: identities, the table of routes and roles, tokens.
//!
//! Only [`authorize`] creates a [`Scope`], and the ledger opens no transaction without one, so a forgotten check does
//! not compile. [`matrix::RULES`] is the table; `docs/access.md` prints it.
//!
//! The tenant is checked before the role: in the other order, 403 against 404 would reveal which tenants exist.

pub mod identity;
pub mod issuers;
mod jwt_crypto;
pub mod keys;
pub mod matrix;
pub mod mint;
pub mod oidc;
pub mod role;
pub mod scope;
pub mod signature;
pub mod token;

#[cfg(test)]
mod fixtures;

pub use identity::{Clusters, Contradiction, Identity, Standing, TenantRef};
pub use issuers::{AccessArgs, Issuers};
pub use jwt_crypto::install as install_jwt_crypto;
pub use matrix::{Action, Limit, Method, Rule};
pub use role::Role;
pub use scope::{Actor, Denied, Power, Scope, authorize};
pub use token::TokenError;
