//! The schema: applied twice, by two at once, on a filled database, and by a login that may not.

use std::collections::BTreeMap;
use std::path::Path;

use portcullis_store::migrate::{self, Migration};
use portcullis_store::{Kind, Ledger, Options, StoreError};

use super::world::{World, block_on, fill};
use crate::support::portcullis;
use crate::support::postgres::Scratch;

on_both!(twice_is_once, a_filled_ledger_is_migrated, what_is_not_ours_is_left_alone);

async fn twice_is_once(world: World) {
    let id = world.whole().await["ledger"].clone();
    assert!(world.ledger.migrate(migrate::all(world.ledger.kind())).await.unwrap().is_empty());
    assert!(world.ledger.pending().await.unwrap().is_empty());
    let again = Ledger::open(&world.url, &Options::default()).await.unwrap();
    assert_eq!(again.kind(), world.ledger.kind());
    assert_eq!(world.whole().await["ledger"], id, "the same ledger");
    assert_eq!(world.count("SELECT COUNT(*) FROM plans").await, 2);
}

/// The next migration of a ledger, which changes rows of tenants.
fn next(kind: Kind) -> Vec<Migration> {
    let sql = match kind {
        Kind::Sqlite => "ALTER TABLE projects ADD COLUMN note TEXT; UPDATE projects SET note = slug;",
        Kind::Postgres => {
            "ALTER TABLE projects ADD COLUMN note TEXT; SET LOCAL ROLE portcullis_admin; \
             UPDATE projects SET note = slug; SET LOCAL ROLE portcullis_owner; ALTER TABLE projects ALTER note SET NOT NULL;"
        }
    };
    let mut all = migrate::all(kind).to_vec();
    all.push(Migration { version: 9999, name: "note", sql });
    all
}

async fn a_filled_ledger_is_migrated(world: World) {
    fill(&world, 3).await;
    let applied = world.ledger.migrate(&next(world.ledger.kind())).await.unwrap();
    assert_eq!(applied.iter().map(|migration| migration.version).collect::<Vec<_>>(), [9999]);
    assert_eq!(world.count("SELECT COUNT(*) FROM projects WHERE note = 'shop'").await, 3);
    if world.is_postgres() {
        // Why the role is needed: the owner's own change finds nobody, and is no error.
        let kept = world.raw("SET ROLE portcullis_owner; UPDATE projects SET note = 'lost'").await;
        assert_eq!(kept, Ok(()));
        assert_eq!(world.count("SELECT COUNT(*) FROM projects WHERE note = 'lost'").await, 0);
    }
    let older = Ledger::open(&world.url, &Options::default()).await.map(drop);
    assert!(matches!(&older, Err(StoreError::Schema(text)) if text.contains("9999")), "{older:?}");
}

async fn what_is_not_ours_is_left_alone(world: World) {
    let mut changed = migrate::all(world.ledger.kind()).to_vec();
    changed[0].sql = "SELECT 1";
    let refused = world.ledger.migrate(&changed).await;
    assert!(matches!(&refused, Err(StoreError::Schema(text)) if text.contains("migration 1")), "{refused:?}");
    let mut broken = next(world.ledger.kind());
    broken.last_mut().unwrap().sql = "ALTER TABLE plans ADD COLUMN half TEXT; SELECT nothing FROM nowhere";
    world.ledger.migrate(&broken).await.unwrap_err();
    assert!(world.ledger.pending().await.unwrap().is_empty());
    let half = world.raw("SELECT half FROM plans").await.unwrap_err();
    assert!(half.contains("half"), "nothing of it was kept: {half}");
}

/// Two programs at once on an empty database: both end well, and each step was applied by one of them.
fn two_at_once(url: &str) {
    let run = || {
        let mut command = portcullis();
        command.args(["migrate", "--database", url]).stdout(std::process::Stdio::piped());
        command.stderr(std::process::Stdio::piped()).spawn().unwrap()
    };
    let started: Vec<_> = (0..4).map(|_| run()).collect();
    let mut applied = String::new();
    for program in started {
        let output = program.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        assert!(text.contains("the ledger is up to date"), "{text}");
        applied.push_str(&text);
    }
    for step in ["applied 1 ledger\n", "applied 2 row_level_security\n"] {
        assert_eq!(applied.matches(step).count(), 1, "{applied}");
    }
}

#[test]
fn two_at_once_on_sqlite() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("new").join("ledger.db");
    two_at_once(&format!("sqlite://{}", file.display()));
    #[cfg(unix)]
    for beside in [file.clone(), file.parent().unwrap().to_path_buf()] {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(&beside).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}: {mode:o}", beside.display());
    }
}

#[test]
fn two_at_once_on_postgres() {
    two_at_once(&Scratch::new().url);
}

#[test]
fn the_command_line_says_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let run = |words: &[&str]| {
        let mut command = portcullis();
        // The default place of a ledger, in a home of this test's own.
        command
            .env("HOME", dir.path())
            .env("XDG_DATA_HOME", dir.path().join("data"))
            .env_remove("PORTCULLIS_DATABASE");
        let output = command.args(words).output().unwrap();
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    assert_eq!(run(&["migrate", "--check"]).0, 1);
    assert_eq!(run(&["audit", "verify"]).0, 2, "a ledger without tables");
    let (code, text, _) = run(&["migrate"]);
    assert_eq!((code, text.lines().last().unwrap()), (0, "the ledger is up to date (SQLite)"));
    assert_eq!(run(&["migrate", "--check"]).0, 0);
    assert!(dir.path().join("data/portcullis/ledger.db").exists());
    let (code, text, _) = run(&["audit", "verify"]);
    assert!(code == 0 && text.contains("Not proven"), "{text}");
    let (code, _, error) = run(&["migrate", "--database", "mysql://root:secret@db/x"]);
    assert_eq!(code, 2);
    assert!(
        error.contains("must begin with `sqlite:` or `postgres:`") && !error.contains("secret"),
        "{error}"
    );
    let (code, _, error) = run(&["migrate", "--database", "sqlite::memory:"]);
    assert!(code == 2 && error.contains("not in memory"), "{error}");
}

#[test]
fn a_login_that_may_not_is_told_what_an_administrator_runs() {
    block_on(async {
        let (scratch, login) = (Scratch::new(), format!("plain_{}", std::process::id()));
        World::postgres().await; // the roles exist on the server, and this login may take none of them
        scratch.sql(&format!("CREATE ROLE {login} LOGIN NOINHERIT"));
        let url = scratch.as_login(&login);
        let refused = Ledger::open(&url, &Options::default()).await.map(drop);
        let Err(StoreError::Roles { problem, sql }) = refused else { panic!("{refused:?}") };
        assert!(problem.contains("portcullis_owner"), "{problem}");
        // Told by the statements themselves: once an administrator has run them, it goes on.
        for statement in sql.lines().filter(|line| !line.starts_with("CREATE ROLE")) {
            scratch.sql(statement);
        }
        let ledger = Ledger::open(&url, &Options::default()).await.unwrap_or_else(|error| panic!("{error}"));
        let mut tx = ledger.read(&super::world::admin()).await.unwrap();
        assert_eq!(tx.ledger().await.unwrap().revision, 0);
        drop(tx);
        // Without a role of ours it sees nothing, be it ever so much a member.
        let bare = scratch.as_login(&login);
        let mut on = <sqlx::PgConnection as sqlx::Connection>::connect(&bare).await.unwrap();
        let refused = sqlx::raw_sql("SELECT * FROM tenants").execute(&mut on).await.unwrap_err();
        assert!(refused.to_string().contains("permission denied"), "{refused}");
        ledger.close().await;
    });
}

#[test]
fn both_databases_have_the_same_tables() {
    block_on(async {
        let (sqlite, postgres) = (World::sqlite().await, World::postgres().await);
        let columns = "SELECT m.name || '.' || p.name FROM sqlite_master m JOIN pragma_table_info(m.name) p \
                       WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%' ORDER BY 1";
        let ours: Vec<String> =
            sqlx::query_scalar(columns).fetch_all(sqlite.read().await.sql()).await.unwrap();
        let theirs = postgres.scratch().sql(
            "SELECT table_name || '.' || column_name FROM information_schema.columns c WHERE table_schema = 'public' \
             AND table_name NOT LIKE 'audit_log\\_%'",
        );
        let by_table = |columns: Vec<String>| {
            let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for column in columns {
                let (table, column) = column.split_once('.').unwrap();
                tables.entry(table.to_owned()).or_default().push(column.to_owned());
            }
            tables.values_mut().for_each(|columns| columns.sort());
            tables
        };
        assert_eq!(by_table(ours), by_table(theirs.lines().map(str::to_owned).collect()));
    });
}

#[test]
fn every_migration_is_embedded() {
    for (kind, dir) in [(Kind::Sqlite, "sqlite"), (Kind::Postgres, "postgres")] {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/migrations").join(dir);
        let mut files: Vec<String> = std::fs::read_dir(dir)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        let embedded: Vec<String> =
            migrate::all(kind).iter().map(|step| format!("{:04}_{}.sql", step.version, step.name)).collect();
        assert_eq!(files, embedded);
    }
}
