//! What can go wrong with the ledger, in the words of whoever asked.

use thiserror::Error;

use super::db;

/// Why a statement, a transaction or a ledger failed. Nothing of it was kept: the transaction is gone.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It is not there, or it is another tenant's, which is the same to whoever asks.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// Something else holds the place: a name that is taken, a state that forbids it.
    #[error("{detail}")]
    Conflict {
        /// What collided: a constraint of the database, such as `tenants_slug`, or a word of the caller's.
        constraint: String,
        /// One sentence for people.
        detail: String,
    },
    /// It still has children.
    #[error("the {what} still has {children}")]
    Dependents {
        /// What was to be removed.
        what: &'static str,
        /// What is in the way, in words.
        children: String,
    },
    /// It has changed since it was read.
    #[error("it has changed since it was read")]
    Stale,
    /// Every place is taken.
    #[error("no {what} is left")]
    Exhausted {
        /// Of what there is none left.
        what: String,
    },
    /// A row refers to something that is not there.
    #[error("it refers to something that does not exist, or is still referred to")]
    Reference {
        /// The constraint, where the database names it.
        constraint: Option<String>,
        /// What the database said.
        #[source]
        source: sqlx::Error,
    },
    /// A value that the ledger's own rules refuse; whoever called should have checked it before.
    #[error("the ledger refuses a value ({constraint})")]
    Refused {
        /// The constraint.
        constraint: String,
        /// What the database said.
        #[source]
        source: sqlx::Error,
    },
    /// With it the snapshot would not be one that gates read; the caller should have refused it before, with a better word.
    #[error("with it gates could not read the ledger's document: {}", problems.first().map_or("", String::as_str))]
    Unreadable {
        /// What is wrong with the document, each by its path.
        problems: Vec<String>,
    },
    /// The database is away, locked, full, or going down. Nothing was kept; the same may succeed later.
    #[error("the ledger's database does not answer just now: {reason}")]
    Unavailable {
        /// In the driver's words, without addresses or credentials.
        reason: String,
        /// What the driver said.
        #[source]
        source: Option<sqlx::Error>,
    },
    /// The schema is not there yet. Nothing was kept; the same may succeed once it is.
    #[error("migrating: the ledger's schema is not complete yet")]
    Migrating,
    /// The database was turned back: what this process has seen of the ledger is not in it. Nothing was kept.
    #[error(
        "the database has the ledger at revision {found}, and revision {seen} was seen here: it was turned back. Restore a backup \
         with `portcullis restore`, or if it is to stay as it is, run `portcullis restore --renew`"
    )]
    TurnedBack {
        /// The newest revision that this process has seen.
        seen: u64,
        /// What the database has.
        found: u64,
    },
    /// The address of a database is none.
    #[error("`{url}` is no address of a ledger: {problem}")]
    Address {
        /// As given, without a password.
        url: String,
        /// What is wrong.
        problem: String,
    },
    /// The database is older or newer than this program, or was changed by hand.
    #[error("{0}")]
    Schema(String),
    /// PostgreSQL's roles are not as they must be, and this login may not make them so.
    #[error("{problem}; let an administrator of the database run:\n{sql}")]
    Roles {
        /// What is missing.
        problem: String,
        /// Statements that mend it.
        sql: String,
    },
    /// A stored document does not read as what it must be.
    #[error("the ledger holds a document that does not read: {what}")]
    Document {
        /// Which.
        what: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A file of the embedded database cannot be made or kept to its owner.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A transaction that only reads was to change something.
    #[error("a reading transaction was asked to change the ledger")]
    ReadOnly,
    /// Anything else that the database refuses: a defect of this program, or of the schema it found.
    #[error("the ledger's database refused a statement")]
    Database(#[source] sqlx::Error),
}

impl StoreError {
    /// A conflict that the caller found itself, in its words.
    pub fn conflict(constraint: &str, detail: impl Into<String>) -> Self {
        Self::Conflict { constraint: constraint.to_owned(), detail: detail.into() }
    }

    /// Whether asking again later may help.
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Migrating)
    }

    /// A schema that this process may not bring up to date.
    pub fn unmigrated() -> Self {
        Self::Schema("the ledger's schema is older than this program; run `portcullis migrate`".to_owned())
    }

    pub(super) fn unavailable(reason: impl Into<String>) -> Self {
        Self::Unavailable { reason: reason.into(), source: None }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        db::faults::read(error)
    }
}
