//! The ledger, on both databases: one suite, and what only one of them can promise.

/// Runs one asynchronous test on SQLite and on PostgreSQL.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[test] fn $name() { crate::ledger::world::run(super::$name, crate::ledger::world::World::sqlite); })+
        }
        mod postgres {
            $(#[test] fn $name() { crate::ledger::world::run(super::$name, crate::ledger::world::World::postgres); })+
        }
    };
}

mod backup; // one file, from either database into either
mod commits; // a revision and an audit row, or nothing of it
mod faults; // a locked file, a full one, a killed connection
mod migrations; // the schema, twice, by two at once, on a filled database
mod past; // append-only and chained
mod patches; // one by one, all at once, by many writers: always the document
mod people; // tenants, members, projects, plans, settings
mod pool; // a thousand tenants on two connections
mod reader; // a commit that gates could not read
mod reaper; // what has expired
mod rules; // what the tables themselves do not let happen
mod told; // what the log tells
mod walls; // row-level security, tried without conditions
mod world; // a ledger on either database, and things to put into it
