//! One file, from either database into either: all of the ledger, or nothing of it.

use std::path::{Path, PathBuf};
use std::process::Output;

use portcullis_store::audit;
use portcullis_store::backup::{BackupError, Restore, Restored, Summary, check};
use portcullis_store::{Entry, Ledger, Options, Part, migrate, tokens};
use serde_json::Value;
use tempfile::TempDir;

use super::world::{World, change, fill};
use crate::support::portcullis;

on_both!(
    all_of_it_comes_back_on_either_database,
    a_ledger_is_replaced_only_by_name,
    what_is_no_good_changes_nothing,
    one_revision_is_written_while_others_commit,
    no_table_is_forgotten,
    an_older_schema_is_migrated_on_the_way,
    sealed_values_stay_sealed,
);

fn ignore(_: &str, _: u64) {}

async fn backup(world: &World) -> (Summary, Vec<u8>) {
    world.ledger.backup(Vec::new(), None, &mut ignore).await.unwrap()
}

async fn restore(world: &World, file: &[u8], replace: Option<&str>) -> Result<Restored, BackupError> {
    // A process of its own, as the command is.
    let ledger =
        Ledger::connect(&world.url, &Options { connections: 1, ..Options::default() }).await.unwrap();
    let how = Restore { replace, key: None };
    let restored = ledger.restore(|| Ok(file), &how, &mut ignore).await;
    ledger.close().await;
    restored
}

/// The document, without what a restore makes anew.
async fn content(world: &World) -> Value {
    let mut whole = world.whole().await;
    for key in ["ledger", "revision"] {
        whole.as_object_mut().unwrap().remove(key);
    }
    whole
}

/// The other database than the world's own.
async fn other(world: &World) -> World {
    if world.is_postgres() { World::sqlite().await } else { World::postgres().await }
}

async fn same_kind(world: &World) -> World {
    if world.is_postgres() { World::postgres().await } else { World::sqlite().await }
}

async fn all_of_it_comes_back_on_either_database(world: World) {
    let places = fill(&world, 3).await;
    let mut tx = world.write().await;
    change(&mut tx, "UPDATE tenants SET status = 'suspended' WHERE id = $1", &places[1].tenant_id).await;
    tx.mark_changed(Part::Tenant("t1".into()));
    tx.audit(
        Entry::new("tenant.suspend", "tenant").of(&places[1].tenant_id, "t1").tenant(&places[1].tenant_id),
    );
    tx.commit().await.unwrap();
    let before = world.whole().await;
    let (summary, file) = backup(&world).await;
    assert_eq!(check(&*file).unwrap(), summary);
    assert_eq!(summary.count("tenants"), 3);
    for target in [same_kind(&world).await, other(&world).await] {
        let restored = restore(&target, &file, None).await.unwrap();
        let now = target.read().await.ledger().await.unwrap();
        assert_eq!(content(&target).await, content(&world).await);
        assert_ne!(Value::from(now.ledger.as_str()), before["ledger"], "another history");
        assert_eq!((now.ledger, now.revision), (restored.ledger.clone(), restored.revision));
        assert!(restored.revision > summary.head.revision);
        assert!(restored.audit.is_intact() && restored.unreadable.is_empty(), "{restored:?}");
        // It goes on as any ledger: commits, the chain of the audit log, the reader.
        let mut tx = target.write().await;
        change(&mut tx, "UPDATE tenants SET status = 'active' WHERE id = $1", &places[1].tenant_id).await;
        tx.mark_changed(Part::Tenant("t1".into()));
        tx.audit(
            Entry::new("tenant.resume", "tenant").of(&places[1].tenant_id, "t1").tenant(&places[1].tenant_id),
        );
        assert_eq!(tx.commit().await.unwrap().revision, Some(restored.revision + 1));
        assert!(audit::verify(&mut target.read().await).await.unwrap().is_intact());
        let newest =
            audit::list(&mut target.read().await, &audit::Filter::default(), None, 5, true).await.unwrap();
        assert!(newest.iter().any(|row| row.action == "ledger.restore"));
        let (again, _) = backup(&target).await;
        assert_eq!(again.count("namespaces"), summary.count("namespaces"));
    }
    assert_eq!(world.whole().await, before, "a backup changes nothing");
}

async fn a_ledger_is_replaced_only_by_name(world: World) {
    fill(&world, 2).await;
    let (summary, file) = backup(&world).await;
    fill_more(&world).await;
    let before = world.whole().await;
    let revision = before["revision"].as_u64().unwrap();
    let refused = restore(&world, &file, None).await.unwrap_err();
    assert!(matches!(&refused, BackupError::NotEmpty { tenants: 2, .. }), "{refused:?}");
    assert!(refused.to_string().contains(&format!("--replace {}", summary.head.ledger)), "{refused}");
    let refused = restore(&world, &file, Some("018f2b7c-0000-7000-8000-0000000000ee")).await.unwrap_err();
    assert!(matches!(&refused, BackupError::OtherLedger { .. }), "{refused:?}");
    assert_eq!(world.whole().await, before, "nothing was changed");
    let restored = restore(&world, &file, Some(&summary.head.ledger)).await.unwrap();
    assert_eq!(restored.replaced, Some((summary.head.ledger.clone(), revision)));
    assert_eq!(restored.revision, revision + 1, "above what gates have seen");
    assert_eq!(world.count("SELECT COUNT(*) FROM tenants WHERE status = 'suspended'").await, 0);
    assert!(audit::verify(&mut world.read().await).await.unwrap().is_intact());
    fill_more(&world).await;
}

async fn fill_more(world: &World) {
    let mut tx = world.write().await;
    change(&mut tx, "UPDATE tenants SET status = $1", "suspended").await;
    tx.mark_changed(Part::Tenant("t0".into()));
    tx.mark_changed(Part::Tenant("t1".into()));
    tx.audit(Entry::new("tenant.suspend", "tenant"));
    tx.commit().await.unwrap();
}

async fn what_is_no_good_changes_nothing(world: World) {
    fill(&world, 1).await;
    let (summary, file) = backup(&world).await;
    let before = world.whole().await;
    let id = summary.head.ledger.as_str();
    let cut = restore(&world, &file[..file.len() / 2], Some(id)).await.unwrap_err();
    assert!(matches!(cut, BackupError::Truncated), "{cut:?}");
    let mut changed = file.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 0x10;
    assert!(restore(&world, &changed, Some(id)).await.is_err());
    let foreign = restore(&world, b"PGDMP", Some(id)).await.unwrap_err();
    assert!(matches!(foreign, BackupError::Foreign(_)), "{foreign:?}");
    // Whole by its checksum, and its rows contradict each other: a project of no tenant.
    let text = lines(&file).replace(&places_tenant(&world).await, "018f2b7c-0000-7000-8000-0000000000aa");
    let torn = text.replacen("018f2b7c-0000-7000-8000-0000000000aa", &places_tenant(&world).await, 1);
    let error = restore(&world, &sealed_again(&torn), Some(id)).await.unwrap_err();
    assert!(matches!(error, BackupError::Rows(_)), "{error:?}");
    let newer = text.replacen("\"schema\":[1,", "\"schema\":[8888,1,", 1);
    let error = restore(&world, &sealed_again(&newer), Some(id)).await.unwrap_err();
    assert!(matches!(error, BackupError::Newer { .. }), "{error:?}");
    assert_eq!(world.whole().await, before);
    assert!(world.ledger.pending().await.unwrap().is_empty());
    // The file changes between the two looks at it.
    let looks = std::sync::atomic::AtomicUsize::new(0);
    let (_, another) = {
        fill_nothing(&world).await;
        backup(&world).await
    };
    let open = || match looks.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
        0 => Ok(&*file),
        _ => Ok(&*another),
    };
    let ledger =
        Ledger::connect(&world.url, &Options { connections: 1, ..Options::default() }).await.unwrap();
    let how = Restore { replace: Some(id), key: None };
    let error = ledger.restore(open, &how, &mut ignore).await.unwrap_err();
    assert!(error.to_string().contains("the file changed during the restore"), "{error}");
}

async fn fill_nothing(world: &World) {
    let mut tx = world.write().await;
    tx.audit(Entry::new("settings.update", "setting"));
    tx.commit().await.unwrap();
}

async fn places_tenant(world: &World) -> String {
    sqlx::query_scalar("SELECT id FROM tenants").fetch_one(world.read().await.sql()).await.unwrap()
}

fn lines(file: &[u8]) -> String {
    use std::io::Read as _;
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text).unwrap();
    text
}

/// With the checksum that the lines have now: what an attacker does, whom a checksum does not stop.
fn sealed_again(text: &str) -> Vec<u8> {
    use std::io::Write as _;

    use sha2::Digest as _;
    let (body, end) = text.trim_end().rsplit_once('\n').unwrap();
    let body = format!("{body}\n");
    let mut end: Value = serde_json::from_str(end).unwrap();
    end["sha256"] = hex::encode(sha2::Sha256::digest(&body)).into();
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(format!("{body}{end}\n").as_bytes()).unwrap();
    out.finish().unwrap()
}

async fn one_revision_is_written_while_others_commit(world: World) {
    let places = fill(&world, 2).await;
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writer = tokio::spawn({
        let (ledger, stop, place) = (world.ledger.clone(), stop.clone(), places[0].clone());
        async move {
            let mut count = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let mut tx = ledger.write(&super::world::admin()).await.unwrap();
                change(&mut tx, "UPDATE tenants SET version = version + 1 WHERE id = $1", &place.tenant_id)
                    .await;
                tx.mark_changed(Part::Tenant("t0".into()));
                tx.audit(
                    Entry::new("tenant.update", "tenant").of(&place.tenant_id, "t0").tenant(&place.tenant_id),
                );
                tx.commit().await.unwrap();
                count += 1;
            }
            count
        }
    });
    for _ in 0..5 {
        let (summary, file) = backup(&world).await;
        let target = other(&world).await;
        let restored = restore(&target, &file, None).await.unwrap();
        assert!(restored.audit.is_intact(), "{:?}", restored.audit);
        let version = target.count("SELECT MAX(version) FROM tenants").await;
        let rows = target.count("SELECT COUNT(*) FROM audit_log WHERE action = 'tenant.update'").await;
        assert_eq!(version, rows + 1, "rows and their audit are of one revision, {}", summary.head.revision);
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(writer.await.unwrap() > 0);
}

/// A table that a migration adds stands in the list, or this fails.
async fn no_table_is_forgotten(world: World) {
    let (summary, file) = backup(&world).await;
    drop(summary);
    let listed: std::collections::BTreeSet<String> = lines(&file)
        .lines()
        .filter_map(|line| Some(serde_json::from_str::<Value>(line).ok()?["table"].as_str()?.to_owned()))
        .collect();
    let sql = if world.is_postgres() {
        "SELECT relname::text FROM pg_class WHERE relnamespace = current_schema()::regnamespace \
         AND relkind IN ('r', 'p') AND NOT relispartition"
    } else {
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    };
    let there: Vec<String> = sqlx::query_scalar(sql).fetch_all(world.read().await.sql()).await.unwrap();
    let left_out = ["changes", "ledger", "portcullis_migrations"];
    for table in &there {
        assert_ne!(listed.contains(table), left_out.contains(&table.as_str()), "{table}");
    }
    assert_eq!(listed.len() + left_out.len(), there.len());
}

/// A backup of a ledger that had fewer migrations: those that came since are run over its rows.
async fn an_older_schema_is_migrated_on_the_way(world: World) {
    fill(&world, 1).await;
    let mut tx = world.write().await;
    let entry = Entry::new("token.mint", "token").of("jti-1", "jti-1");
    tx.audit(entry.after(serde_json::json!({"subject": "alice", "roles": ["admin"], "exp": 1_900_000_000})));
    tx.commit().await.unwrap();
    assert_eq!(world.count("SELECT COUNT(*) FROM minted_tokens").await, 0);
    let (_, file) = backup(&world).await;
    // As one before the migration `tokens` wrote it.
    let text = lines(&file);
    let last = migrate::all(world.ledger.kind()).iter().map(|migration| migration.version);
    let schema: Vec<String> = last.map(|version| version.to_string()).collect();
    let text = text.replacen(&format!("\"schema\":[{}]", schema.join(",")), "\"schema\":[1,2,3]", 1);
    let older = text
        .lines()
        .filter(|line| ["\"minted_tokens\"", "\"released_keys\""].iter().all(|table| !line.contains(table)));
    let older = older.fold(String::new(), |text, line| text + line + "\n");
    let target = other(&world).await;
    let restored = restore(&target, &sealed_again(&older), None).await.unwrap();
    assert!(restored.audit.is_intact());
    assert_eq!(target.count("SELECT COUNT(*) FROM minted_tokens WHERE jti = 'jti-1'").await, 1);
    assert!(target.ledger.pending().await.unwrap().is_empty());
    assert!(tokens::list(&mut target.read().await, None, None, 5).await.is_ok());
}

fn run(words: &[&str], url: &str) -> Output {
    portcullis().args(words).args(["--database", url]).output().unwrap()
}

fn said(output: &Output) -> String {
    let out = [&output.stdout[..], &output.stderr[..]].concat();
    format!("{:?} {}", output.status.code(), String::from_utf8(out).unwrap())
}

fn key(dir: &TempDir, name: &str, byte: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let path = dir.path().join(name);
    std::fs::write(&path, byte.repeat(32)).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// By the commands: what is sealed, with which key, and what they say.
async fn sealed_values_stay_sealed(world: World) {
    let dir = tempfile::tempdir().unwrap();
    let (right, wrong) = (key(&dir, "right", "ab"), key(&dir, "wrong", "cd"));
    let places = fill(&world, 1).await;
    let master = portcullis_store::envelope::MasterKey::read(&right).unwrap();
    let sealed = master.seal(&places[0].cluster_id, b"a kubeconfig").unwrap();
    let mut tx = world.write().await;
    sqlx::query("UPDATE clusters SET kubeconfig_enc = $1, dek_enc = $2 WHERE id = $3")
        .bind(sealed.value.clone())
        .bind(sealed.dek.clone())
        .bind(&places[0].cluster_id)
        .execute(tx.sql())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let text = |path: &Path| path.display().to_string();
    let (plain, named) = (text(&dir.path().join("plain.gz")), text(&dir.path().join("named.gz")));
    let refused = said(&run(&["backup", &plain, "--master-key-file", &text(&wrong)], &world.url));
    assert!(refused.contains("Some(2)") && refused.contains("is not the key"), "{refused}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "and nothing half written is left");
    let made = said(&run(&["backup", &plain], &world.url));
    assert!(made.contains("1 encrypted secrets, which need the master key of the API"), "{made}");
    assert!(made.contains("1 tenants, 1 projects") && made.contains("written"), "{made}");
    let again = said(&run(&["backup", &plain], &world.url));
    assert!(again.contains("Some(2)") && again.contains("exists"), "{again}");
    let made = said(&run(&["backup", &named, "--master-key-file", &text(&right)], &world.url));
    assert!(made.contains(master.fingerprint()), "{made}");
    let looked = portcullis().args(["restore", "--check", &named]).output().unwrap();
    assert!(
        said(&looked).contains("is complete") && said(&looked).contains(master.fingerprint()),
        "{}",
        said(&looked)
    );
    let wrong_key =
        portcullis().args(["restore", "--check", &named, "--master-key-file", &text(&wrong)]).output();
    let refused = said(&wrong_key.unwrap());
    assert!(refused.contains("Some(2)") && refused.contains("is not the key"), "{refused}");

    let target = other(&world).await;
    for file in [&plain, &named] {
        let refused = said(&run(&["restore", file, "--master-key-file", &text(&wrong)], &target.url));
        assert!(refused.contains("Some(2)") && refused.contains("is not the key"), "{refused}");
    }
    assert_eq!(target.count("SELECT COUNT(*) FROM clusters").await, 0, "nothing was changed");
    let done = said(&run(&["restore", &named, "--master-key-file", &text(&right)], &target.url));
    assert!(
        done.contains("Some(0)")
            && done.contains("audit log intact")
            && done.contains("restored at revision"),
        "{done}"
    );
    let value: Vec<u8> =
        sqlx::query_scalar("SELECT kubeconfig_enc FROM clusters WHERE kubeconfig_enc IS NOT NULL")
            .fetch_one(target.read().await.sql())
            .await
            .unwrap();
    assert_eq!(value, sealed.value, "as it was sealed");
    let refused = said(&run(&["restore", &named], &target.url));
    assert!(refused.contains("Some(2)") && refused.contains("set `--replace "), "{refused}");

    let before = target.read().await.ledger().await.unwrap();
    let renewed = said(&run(&["restore", "--renew"], &target.url));
    let now = target.read().await.ledger().await.unwrap();
    assert!(renewed.contains("Some(0)") && renewed.contains(&format!("{} renewed", now.ledger)), "{renewed}");
    assert!(now.ledger != before.ledger && now.revision > before.revision);
}
