//! The ledger, on both databases: one suite, and what only one of them can promise.

mod world; // a ledger on either database, and things to put into it

mod people; // tenants, members, projects, plans, settings

mod commits; // revisions, patches, audit rows: all or nothing

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
use on_both;
