//! The schema, brought up to date: all that is missing in one transaction, by one process at a time.
//!
//! On PostgreSQL everything is made by and belongs to `portcullis_owner`. **A migration that changes rows of tenants must
//! say `SET LOCAL ROLE portcullis_admin` before and `SET LOCAL ROLE portcullis_owner` after**: row-level security is forced
//! on the owner too, whose UPDATE would find no row and be no error.

mod roles;

use sha2::{Digest as _, Sha256};
use sqlx::{AssertSqlSafe, Row as _};

use super::db::{Database, Kind, Mode, Session, Wall};
use super::error::StoreError;

/// One step of the schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// 1, 2, 3 …, in order.
    pub version: i64,
    /// What it is about, one word.
    pub name: &'static str,
    /// Statements; those of tables differ between the databases in types alone.
    pub sql: &'static str,
}

macro_rules! migrations {
    ($database:literal: $($version:literal $name:literal),+ $(,)?) => {
        &[$(Migration {
            version: $version,
            name: $name,
            sql: include_str!(concat!("migrations/", $database, "/000", $version, "_", $name, ".sql")),
        }),+]
    };
}

const SQLITE: &[Migration] = migrations!("sqlite": 1 "ledger", 2 "walls", 3 "audit_order", 4 "tokens", 5 "scale", 6 "released", 7 "digests");
const POSTGRES: &[Migration] = migrations!("postgres": 1 "ledger", 2 "walls", 3 "audit_order", 4 "tokens", 5 "scale", 6 "released", 7 "digests");

/// Any number, as long as nobody else locks by it.
const LOCK: i64 = 0x706f_7274_6375_6c6c;

/// Every migration of a database, in order.
pub const fn all(kind: Kind) -> &'static [Migration] {
    match kind {
        Kind::Sqlite => SQLITE,
        Kind::Postgres => POSTGRES,
    }
}

/// What of `migrations` is not there yet. A database that holds others, or others' text, is an error.
pub(super) async fn pending(
    database: &Database,
    migrations: &[Migration],
) -> Result<Vec<Migration>, StoreError> {
    if !exists(database).await? {
        return Ok(migrations.to_vec());
    }
    let mut session = database.begin(&Wall::Feed, Mode::Read).await.map_err(roles::explain)?;
    let missing = missing(&mut session, migrations).await?;
    session.rollback().await?;
    Ok(missing)
}

/// Applies what is missing; what it applied.
pub(super) async fn run(database: &Database, migrations: &[Migration]) -> Result<Vec<Migration>, StoreError> {
    if pending(database, migrations).await?.is_empty() {
        return Ok(Vec::new());
    }
    let mut session = begin(database).await?;
    table(&mut session).await?;
    let missing = missing(&mut session, migrations).await?;
    apply(&mut session, &missing).await?;
    finish(&mut session, database.kind()).await?;
    session.commit().await?;
    Ok(missing)
}

/// Begins the one transaction at a time that may change the schema, as the owner of it.
pub(super) async fn begin(database: &Database) -> Result<Session, StoreError> {
    match database.kind() {
        // `BEGIN IMMEDIATE` is the lock.
        Kind::Sqlite => database.begin(&Wall::Owner, Mode::Write).await,
        Kind::Postgres => {
            roles::ensure(database).await?;
            let mut session = database.begin(&Wall::Owner, Mode::Write).await?;
            let bounds = "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; \
                          SET LOCAL idle_in_transaction_session_timeout = 0";
            execute(&mut session, bounds).await?;
            sqlx::query("SELECT pg_advisory_xact_lock($1)::text")
                .bind(LOCK)
                .execute(session.connection())
                .await?;
            Ok(session)
        }
    }
}

/// Makes the schema in an empty database, as these migrations leave it.
pub(super) async fn create(session: &mut Session, migrations: &[Migration]) -> Result<(), StoreError> {
    table(session).await?;
    apply(session, migrations).await
}

async fn table(session: &mut Session) -> Result<(), StoreError> {
    execute(
        session,
        "CREATE TABLE IF NOT EXISTS portcullis_migrations (
            version BIGINT PRIMARY KEY, name TEXT NOT NULL, sha256 TEXT NOT NULL, applied_at BIGINT NOT NULL)",
    )
    .await
}

/// Applies migrations, and records them.
pub(super) async fn apply(session: &mut Session, migrations: &[Migration]) -> Result<(), StoreError> {
    for migration in migrations {
        execute(session, migration.sql).await?;
        record(session, migration).await?;
    }
    Ok(())
}

/// What a schema that is complete needs besides.
pub(super) async fn finish(session: &mut Session, kind: Kind) -> Result<(), StoreError> {
    first_row(session).await?;
    if kind == Kind::Postgres {
        let grant = "GRANT SELECT ON portcullis_migrations TO portcullis_admin, portcullis_snapshot";
        execute(session, grant).await?;
    }
    Ok(())
}

async fn exists(database: &Database) -> Result<bool, StoreError> {
    let mut connection = database.connection().await?;
    let sql = match database.kind() {
        Kind::Sqlite => {
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'portcullis_migrations'"
        }
        Kind::Postgres => "SELECT to_regclass('portcullis_migrations')::text AS name",
    };
    let row = sqlx::query(sql).fetch_optional(&mut *connection).await?;
    Ok(row.map(|row| row.try_get::<Option<String>, _>("name")).transpose()?.flatten().is_some())
}

async fn missing(session: &mut Session, migrations: &[Migration]) -> Result<Vec<Migration>, StoreError> {
    let rows = sqlx::query("SELECT version, name, sha256 FROM portcullis_migrations ORDER BY version")
        .fetch_all(session.connection())
        .await?;
    let mut missing = migrations.to_vec();
    for row in rows {
        let version: i64 = row.try_get("version")?;
        let Some(at) = missing.iter().position(|migration| migration.version == version) else {
            let name: String = row.try_get("name")?;
            return Err(StoreError::Schema(format!(
                "the ledger holds migration {version} (`{name}`), which this program does not know; it is older than \
                 the one that made it"
            )));
        };
        if digest(missing.remove(at).sql) != row.try_get::<String, _>("sha256")? {
            return Err(StoreError::Schema(format!(
                "migration {version} of the ledger was another text than this program's; one of them was changed by hand"
            )));
        }
    }
    Ok(missing)
}

async fn record(session: &mut Session, migration: &Migration) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO portcullis_migrations (version, name, sha256, applied_at) VALUES ($1, $2, $3, $4)",
    )
    .bind(migration.version)
    .bind(migration.name)
    .bind(digest(migration.sql))
    .bind(jiff::Timestamp::now().as_millisecond())
    .execute(session.connection())
    .await?;
    Ok(())
}

/// A new ledger gets its id.
async fn first_row(session: &mut Session) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO ledger (id, ledger, revision, updated_at) VALUES (1, $1, 0, $2) ON CONFLICT (id) DO NOTHING",
    )
    .bind(super::new_id())
    .bind(jiff::Timestamp::now().as_millisecond())
    .execute(session.connection())
    .await?;
    Ok(())
}

async fn execute(session: &mut Session, sql: &str) -> Result<(), StoreError> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(session.connection()).await?;
    Ok(())
}

fn digest(sql: &str) -> String {
    hex::encode(Sha256::digest(sql.as_bytes()))
}
