//! A change committed in the ledger decides at gates in other processes, whatever is down, restarted or restored.

mod broken_off; // the database or the API ended in the middle; a locked file
mod cache; // the copy on disk: torn, foreign, unwritable; a start with everything else down
mod changes; // who follows whom, and in what order
mod clusters; // what a gate of one cluster hears
mod disk; // a disk that is full
mod expiry; // sandboxes whose time is over
mod faults; // API killed, database frozen, ledger restored, token rotated
mod forks; // a copy of the ledger that was put back without a new id, and went on
mod migrating; // a database whose schema is not there yet
mod restore; // a backup that is restored under them
mod service_account; // a gate that shows the token of its ServiceAccount
mod skew; // gates and API of different builds
pub mod stage; // a ledger, its API, its gates
mod unreadable; // an entry that gates cannot read
mod unseen; // a tenant's group that the registered webhooks do not see
