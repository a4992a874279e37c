//! The ledger's API, as its callers meet it: over sockets, on a real database.

// `cfg(test)` always holds here; it tells clippy that the helpers, too, may unwrap.
#[cfg(test)]
mod apps;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod bodies;
#[cfg(test)]
mod bounds;
#[cfg(test)]
mod catalog;
#[cfg(test)]
mod client_certificates;
#[cfg(test)]
mod clusters;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod conventions;
#[cfg(test)]
mod document;
#[cfg(test)]
mod errors;
#[cfg(test)]
pub mod harness;
#[cfg(test)]
pub mod house;
#[cfg(test)]
mod identity;
#[cfg(test)]
mod install;
#[cfg(test)]
mod judged;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod members;
#[cfg(test)]
mod plans;
#[cfg(test)]
mod projects;
#[cfg(test)]
mod races;
#[cfg(test)]
mod readable;
#[cfg(test)]
mod replays;
#[cfg(test)]
mod reuse;
#[cfg(test)]
mod sandboxes;
#[cfg(test)]
mod settings;
#[cfg(test)]
mod shop;
#[cfg(test)]
mod statements;
#[cfg(test)]
mod tenants;
#[cfg(test)]
mod tokens;
#[cfg(test)]
mod walk;
