//! A start on an empty database: until its schema is there, all that is asked of the ledger is answered 503.

use serde_json::json;
use sqlx::{Connection as _, Executor as _};

use super::stage::{On, Stage, decides, readiness, soon};
use crate::support::Gate;

/// The lock that a migration of PostgreSQL takes.
const LOCK: i64 = 0x706f_7274_6375_6c6c;

/// Holds the lock of migrations until it is dropped.
struct Held {
    runtime: tokio::runtime::Runtime,
    sqlite: Option<sqlx::SqliteConnection>,
    postgres: Option<sqlx::PgConnection>,
}

impl Held {
    fn new(stage: &Stage, on: On) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (mut sqlite, mut postgres) = (None, None);
        runtime.block_on(async {
            if on == On::Postgres {
                let mut connection = sqlx::PgConnection::connect(&stage.url).await.unwrap();
                let lock = sqlx::AssertSqlSafe(format!("SELECT pg_advisory_lock({LOCK})"));
                connection.execute(sqlx::raw_sql(lock)).await.unwrap();
                postgres = Some(connection);
            } else {
                let options = stage.url.parse::<sqlx::sqlite::SqliteConnectOptions>().unwrap();
                let options = options.create_if_missing(true);
                let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
                connection
                    .execute(sqlx::raw_sql("PRAGMA journal_mode = WAL; BEGIN IMMEDIATE"))
                    .await
                    .unwrap();
                sqlite = Some(connection);
            }
        });
        Self { runtime, sqlite, postgres }
    }

    fn release(self) {
        let Self { runtime, sqlite, postgres } = self;
        runtime.block_on(async {
            if let Some(connection) = sqlite {
                connection.close().await.unwrap();
            }
            if let Some(connection) = postgres {
                connection.close().await.unwrap();
            }
        });
    }
}

fn reason(process: &Gate, name: &str) -> (u16, String) {
    let (status, page) = process.get("/readyz");
    let page: serde_json::Value = serde_json::from_str(&page).unwrap();
    let conditions = page["conditions"].as_array().unwrap();
    let found = conditions.iter().find(|condition| condition["name"] == name).unwrap();
    (status, found["reason"].as_str().unwrap_or_default().to_owned())
}

fn starts_on_an_empty_database(on: On) {
    let stage = Stage::new(on);
    let held = Held::new(&stage, on);
    let api = stage.api_at("127.0.0.1:0", false);
    soon("the API is migrating", || {
        let (status, reason) = reason(&api, "database");
        (status, reason.contains("is being migrated")) == (503, true)
    });
    let (status, problem) = stage.call(&api, "GET", "/api/v1/clusters", None);
    assert_eq!((status, &problem["code"]), (503, &json!("SERVICE_UNAVAILABLE")), "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("is being migrated"), "{problem}");
    stage.later(&api, "POST", "/api/v1/clusters", Some(&json!({"name": "eu-1"})));
    let gate = stage.gate_when(&[], false);
    soon("the gate waits for the schema", || {
        readiness(&gate).1.starts_with("no snapshot loaded yet: ")
            && readiness(&gate).1.contains("is being migrated")
    });
    assert_eq!(readiness(&gate).0, 503);
    held.release();
    soon("the API is ready", || api.get("/readyz").0 == 200);
    soon("the gate is ready", || readiness(&gate) == (200, String::new()));
    stage.furnish(&api);
    decides(&gate, "and follows", "");
    for process in [&api, &gate] {
        let told = process.told();
        let waits = told.iter().filter(|line| line.contains("waiting for the schema of the ledger"));
        let waits: Vec<_> = waits.collect();
        assert!(waits.len() == 1 && waits[0].contains("INFO"), "{told:#?}");
        assert!(!told.iter().any(|line| line.contains("last good snapshot")), "{told:#?}");
        // A lock of SQLite is waited for so long and then again, which is told; PostgreSQL waits by itself.
        let bad = told.iter().find(|line| line.contains("WARN") || line.contains("ERROR"));
        assert!(on == On::Sqlite || bad.is_none_or(|line| !line.contains("ledger")), "{told:#?}");
    }
}

#[test]
fn api_and_gate_start_on_an_empty_sqlite() {
    starts_on_an_empty_database(On::Sqlite);
}

#[test]
fn api_and_gate_start_on_an_empty_postgres() {
    starts_on_an_empty_database(On::Postgres);
}
