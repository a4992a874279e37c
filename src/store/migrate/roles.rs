//! PostgreSQL's roles: made where the login may, and told to an administrator where it may not.

use sqlx::{AnyConnection, AssertSqlSafe, Row as _};

use super::super::db::Database;
use super::super::error::StoreError;

/// Owner of everything, a tenant's requests, an administrator's requests, a gate's reading.
const ROLES: [&str; 4] = ["portcullis_owner", "portcullis_app", "portcullis_admin", "portcullis_snapshot"];

/// Those that a migration takes. A login that serves may lack the first, one that migrates the others.
const MIGRATING: [&str; 3] = ["portcullis_owner", "portcullis_admin", "portcullis_snapshot"];

/// Roles belong to the whole server; two ledgers on it may be made at once, and one of them comes second.
const TRIES: usize = 20;

/// The oldest server that knows all we ask for.
const VERSION_MIN: i64 = 150_000;

/// What this login and this server are.
struct Login {
    name: String,
    version: i64,
}

/// Sees to it that the roles are there, that this login may take them, and that the owner may make tables.
pub(super) async fn ensure(database: &Database) -> Result<(), StoreError> {
    let mut on = database.connection().await?;
    let row = sqlx::query(
        "SELECT session_user::text AS name, current_setting('server_version_num')::bigint AS version",
    )
    .fetch_one(&mut *on)
    .await?;
    let login = Login { name: row.try_get("name")?, version: row.try_get("version")? };
    if login.version < VERSION_MIN {
        return Err(StoreError::Schema(format!(
            "PostgreSQL {} is too old; 15 or newer",
            login.version / 10_000
        )));
    }
    for (problem, statement) in wanted(&mut on, &login).await? {
        make(&mut on, &statement).await.map_err(|error| refused(&problem, &login, error))?;
    }
    Ok(())
}

/// What is missing, each with the statement that mends it.
async fn wanted(on: &mut AnyConnection, login: &Login) -> Result<Vec<(String, String)>, StoreError> {
    let (mut wanted, mut grants, mut lacks) = (Vec::new(), Vec::new(), false);
    for role in ROLES {
        let row = sqlx::query("SELECT rolsuper OR rolbypassrls AS above FROM pg_roles WHERE rolname = $1")
            .bind(role)
            .fetch_optional(&mut *on)
            .await?;
        match row {
            None => wanted.push((format!("the role `{role}` is missing"), create(role))),
            Some(row) if row.try_get::<bool, _>("above")? => {
                return Err(StoreError::Roles {
                    problem: format!("the role `{role}` is above row-level security"),
                    sql: format!("ALTER ROLE {role} NOSUPERUSER NOBYPASSRLS;"),
                });
            }
            Some(_) => {}
        }
        if !member(on, role, login).await? {
            lacks |= MIGRATING.contains(&role);
            grants.push((format!("`{}` may not take the role `{role}`", login.name), grant(role, login)));
        }
    }
    if lacks {
        // Whoever has to be given some is the only login so far, and will serve as well.
        wanted.append(&mut grants);
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
        wanted.push((
            "`portcullis_owner` may not make tables in the schema `public`".to_owned(),
            schema_grant(),
        ));
    }
    Ok(wanted)
}

/// Whether this login can `SET ROLE` to it. A superuser always can; from version 16 on, being a member is not enough.
async fn member(on: &mut AnyConnection, role: &str, login: &Login) -> Result<bool, StoreError> {
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

fn create(role: &str) -> String {
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

/// Somebody else doing the same at the same time is no failure.
async fn make(on: &mut AnyConnection, statement: &str) -> Result<(), sqlx::Error> {
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

/// All of it, for an administrator who runs it once.
fn script(login: &Login) -> String {
    let mut lines: Vec<String> = ROLES.into_iter().map(create).collect();
    lines.extend(ROLES.into_iter().map(|role| grant(role, login)));
    lines.push(schema_grant());
    lines.join("\n")
}

/// A transaction that could not take its role says so in words that help.
pub(super) fn explain(error: StoreError) -> StoreError {
    let StoreError::Database(refusal) = &error else { return error };
    let code = refusal.as_database_error().and_then(sqlx::error::DatabaseError::code).unwrap_or_default();
    if !["42501", "22023", "42704"].contains(&&*code) {
        return error;
    }
    let login = Login { name: "the login of the server".to_owned(), version: 0 };
    StoreError::Roles {
        problem: format!("the login may not work on this ledger: {refusal}"),
        sql: script(&login),
    }
}
