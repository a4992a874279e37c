//! Migrates the schema: all missing migrations in one transaction, one process at a time. On PostgreSQL `portcullis_owner`
//! owns everything. **A migration that changes rows of tenants must `SET LOCAL ROLE portcullis_admin` before and
//! `SET LOCAL ROLE portcullis_owner` after**: row-level security also applies to the owner, whose UPDATE would find no row.

use sha2::{Digest as _, Sha256};
use sqlx::{AnyConnection, AssertSqlSafe, Row as _};

use crate::db::{Database, Kind, Mode, RowAccess, Session};
use crate::error::StoreError;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    pub version: i64,
    pub name: &'static str,
    /// The two databases differ in column types only.
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

const SQLITE: &[Migration] = migrations!("sqlite": 1 "ledger", 2 "row_level_security", 3 "audit_order", 4 "tokens", 5 "scale", 6 "released", 7 "digests");
const POSTGRES: &[Migration] = migrations!("postgres": 1 "ledger", 2 "row_level_security", 3 "audit_order", 4 "tokens", 5 "scale", 6 "released", 7 "digests");

/// Key of the advisory lock; any constant.
const LOCK: i64 = 0x706f_7274_6375_6c6c;

pub const fn all(kind: Kind) -> &'static [Migration] {
    match kind {
        Kind::Sqlite => SQLITE,
        Kind::Postgres => POSTGRES,
    }
}

/// An unknown or different migration in the database is an error.
pub(super) async fn pending(
    database: &Database,
    migrations: &[Migration],
) -> Result<Vec<Migration>, StoreError> {
    if !exists(database).await? {
        return Ok(migrations.to_vec());
    }
    let mut session = database.begin(&RowAccess::Feed, Mode::Read).await.map_err(explain)?;
    let missing = missing(&mut session, migrations).await?;
    session.rollback().await?;
    Ok(missing)
}

pub(super) async fn run(database: &Database, migrations: &[Migration]) -> Result<Vec<Migration>, StoreError> {
    if pending(database, migrations).await?.is_empty() {
        return Ok(Vec::new());
    }
    let mut session = begin(database).await?;
    create_table(&mut session).await?;
    let missing = missing(&mut session, migrations).await?;
    apply(&mut session, &missing).await?;
    finish(&mut session, database.kind()).await?;
    session.commit().await?;
    Ok(missing)
}

/// Locks the schema, as its owner.
pub(super) async fn begin(database: &Database) -> Result<Session, StoreError> {
    match database.kind() {
        // `BEGIN IMMEDIATE` is the lock.
        Kind::Sqlite => database.begin(&RowAccess::Owner, Mode::Write).await,
        Kind::Postgres => {
            ensure_roles(database).await?;
            let mut session = database.begin(&RowAccess::Owner, Mode::Write).await?;
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

pub(super) async fn create(session: &mut Session, migrations: &[Migration]) -> Result<(), StoreError> {
    create_table(session).await?;
    apply(session, migrations).await
}

async fn create_table(session: &mut Session) -> Result<(), StoreError> {
    execute(
        session,
        "CREATE TABLE IF NOT EXISTS portcullis_migrations (
            version BIGINT PRIMARY KEY, name TEXT NOT NULL, sha256 TEXT NOT NULL, applied_at BIGINT NOT NULL)",
    )
    .await
}

pub(super) async fn apply(session: &mut Session, migrations: &[Migration]) -> Result<(), StoreError> {
    for migration in migrations {
        execute(session, migration.sql).await?;
        record(session, migration).await?;
    }
    Ok(())
}

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
                "the ledger has migration {version} (`{name}`), which this program does not know; use the newer \
                 version that applied it"
            )));
        };
        if digest(missing.remove(at).sql) != row.try_get::<String, _>("sha256")? {
            return Err(StoreError::Schema(format!(
                "migration {version} in the ledger differs from that of this program; one of them was changed by hand"
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
    .bind(crate::new_id())
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

/// Owner of the schema, requests of tenants, requests of administrators, reads of gates.
const ROLES: [&str; 4] = ["portcullis_owner", "portcullis_app", "portcullis_admin", "portcullis_snapshot"];

/// Roles that a migration uses. The login of a server may lack the first one.
const MIGRATING: [&str; 3] = ["portcullis_owner", "portcullis_admin", "portcullis_snapshot"];

/// Roles are global to a server, so two ledgers that are created at the same time can conflict.
const TRIES: usize = 20;

/// The oldest supported server.
const VERSION_MIN: i64 = 150_000;

struct Login {
    name: String,
    version: i64,
}

/// Creates missing roles and grants them to this login.
async fn ensure_roles(database: &Database) -> Result<(), StoreError> {
    let mut on = database.connection().await?;
    let row = sqlx::query(
        "SELECT session_user::text AS name, current_setting('server_version_num')::bigint AS version",
    )
    .fetch_one(&mut *on)
    .await?;
    let login = Login { name: row.try_get("name")?, version: row.try_get("version")? };
    if login.version < VERSION_MIN {
        return Err(StoreError::Schema(format!(
            "PostgreSQL {} is too old; 15 or newer is required",
            login.version / 10_000
        )));
    }
    for (problem, statement) in missing_grants(&mut on, &login).await? {
        run_once(&mut on, &statement).await.map_err(|error| refused(&problem, &login, error))?;
    }
    Ok(())
}

/// Problems, each with the statement that fixes it.
async fn missing_grants(on: &mut AnyConnection, login: &Login) -> Result<Vec<(String, String)>, StoreError> {
    let (mut missing, mut grants, mut lacks) = (Vec::new(), Vec::new(), false);
    for role in ROLES {
        let row = sqlx::query("SELECT rolsuper OR rolbypassrls AS above FROM pg_roles WHERE rolname = $1")
            .bind(role)
            .fetch_optional(&mut *on)
            .await?;
        match row {
            None => missing.push((format!("the role `{role}` is missing"), create_role(role))),
            Some(row) if row.try_get::<bool, _>("above")? => {
                return Err(StoreError::Roles {
                    problem: format!("the role `{role}` bypasses row-level security"),
                    sql: format!("ALTER ROLE {role} NOSUPERUSER NOBYPASSRLS;"),
                });
            }
            Some(_) => {}
        }
        if !can_set_role(on, role, login).await? {
            lacks |= MIGRATING.contains(&role);
            grants.push((format!("login `{}` cannot SET ROLE to `{role}`", login.name), grant(role, login)));
        }
    }
    if lacks {
        // A login that lacks some is the only one so far and also serves requests.
        missing.append(&mut grants);
    }
    let schema: bool = match sqlx::query(
        "SELECT has_schema_privilege(oid, current_schema(), 'CREATE') AS may FROM pg_roles WHERE rolname = $1",
    )
    .bind("portcullis_owner")
    .fetch_optional(&mut *on)
    .await?
    {
        Some(row) => row.try_get::<Option<bool>, _>("may")?.unwrap_or_default(),
        None => false,
    };
    if !schema {
        missing.push((
            "`portcullis_owner` cannot create tables in the schema `public`".to_owned(),
            schema_grant(),
        ));
    }
    Ok(missing)
}

/// From version 16 on, membership does not suffice. A superuser always can.
async fn can_set_role(on: &mut AnyConnection, role: &str, login: &Login) -> Result<bool, StoreError> {
    let sql = if login.version >= 160_000 {
        "SELECT pg_has_role(oid, 'SET') AS may FROM pg_roles WHERE rolname = $1"
    } else {
        "SELECT pg_has_role(oid, 'MEMBER') AS may FROM pg_roles WHERE rolname = $1"
    };
    match sqlx::query(sql).bind(role).fetch_optional(&mut *on).await? {
        Some(row) => Ok(row.try_get("may")?),
        None => superuser(on).await,
    }
}

async fn superuser(on: &mut AnyConnection) -> Result<bool, StoreError> {
    let row = sqlx::query("SELECT rolsuper FROM pg_roles WHERE rolname = session_user").fetch_one(on).await?;
    Ok(row.try_get("rolsuper")?)
}

fn create_role(role: &str) -> String {
    format!("CREATE ROLE {role} NOLOGIN NOSUPERUSER NOBYPASSRLS;")
}

fn grant(role: &str, login: &Login) -> String {
    let quoted = login.name.replace('"', "\"\"");
    let how = if login.version >= 160_000 { " WITH INHERIT FALSE, SET TRUE" } else { "" };
    format!("GRANT {role} TO \"{quoted}\"{how};")
}

fn schema_grant() -> String {
    "GRANT USAGE, CREATE ON SCHEMA public TO portcullis_owner;".to_owned()
}

/// The same statement of another process at the same time is not an error.
async fn run_once(on: &mut AnyConnection, statement: &str) -> Result<(), sqlx::Error> {
    const DONE_BY_ANOTHER: [&str; 2] = ["42710", "23505"];
    const DOING_BY_ANOTHER: &str = "XX000";
    let mut tries = TRIES;
    loop {
        let Err(error) = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *on).await else {
            return Ok(());
        };
        let code = error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code)
            .unwrap_or_default()
            .into_owned();
        tries = tries.saturating_sub(1);
        if DONE_BY_ANOTHER.contains(&code.as_str()) {
            return Ok(());
        } else if code != DOING_BY_ANOTHER || tries == 0 {
            return Err(error);
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

fn refused(problem: &str, login: &Login, error: sqlx::Error) -> StoreError {
    let denied = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|code| code == "42501");
    if !denied {
        return error.into();
    }
    StoreError::Roles { problem: problem.to_owned(), sql: script(login) }
}

/// All statements, for an administrator.
fn script(login: &Login) -> String {
    let mut lines: Vec<String> = ROLES.into_iter().map(create_role).collect();
    lines.extend(ROLES.into_iter().map(|role| grant(role, login)));
    lines.push(schema_grant());
    lines.join("\n")
}

/// Explains a transaction that could not take its role.
fn explain(error: StoreError) -> StoreError {
    let StoreError::Database(refusal) = &error else { return error };
    let code = refusal.as_database_error().and_then(sqlx::error::DatabaseError::code).unwrap_or_default();
    if !["42501", "22023", "42704"].contains(&&*code) {
        return error;
    }
    let login = Login { name: "the login of the server".to_owned(), version: 0 };
    StoreError::Roles {
        problem: format!("the login lacks permissions on this ledger: {refusal}"),
        sql: script(&login),
    }
}
