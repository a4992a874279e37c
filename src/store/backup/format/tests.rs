use super::*;

fn head() -> Head {
    Head {
        portcullis_backup: FORMAT,
        program: "1.2.3".into(),
        database: "SQLite".into(),
        created_at: "2026-01-01T00:00:00Z".into(),
        ledger: "018f2b7c-0000-7000-8000-000000000001".into(),
        revision: 7,
        digest: "d7".into(),
        schema: vec![1, 2],
        master_key: None,
    }
}

fn file(rows: usize) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    writer.line(&head()).unwrap();
    let columns = vec![
        ("id".to_owned(), Kind::Text),
        ("version".to_owned(), Kind::Integer),
        ("kubeconfig_enc".to_owned(), Kind::Bytes),
    ];
    writer.line(&Table { table: "clusters".into(), columns }).unwrap();
    for n in 0..rows {
        let number = i64::try_from(n).unwrap();
        let cells =
            [Cell::Text(Some(format!("c{n}"))), Cell::Integer(Some(number)), Cell::Bytes(Some(vec![0, 255]))];
        writer.row("clusters", &cells).unwrap();
    }
    writer.row("clusters", &[Cell::Text(None), Cell::Integer(Some(i64::MIN)), Cell::Bytes(None)]).unwrap();
    writer.finish(head(), 2).unwrap().1
}

fn plain(lines: &str) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    out.write_all(lines.as_bytes()).unwrap();
    out.finish().unwrap()
}

fn text(file: &[u8]) -> String {
    let mut text = String::new();
    MultiGzDecoder::new(file).read_to_string(&mut text).unwrap();
    text
}

#[test]
fn written_backup_is_read() {
    let bytes = file(3);
    let summary = check(&*bytes).unwrap();
    assert_eq!((summary.head, summary.sealed), (head(), 2));
    assert_eq!(summary.rows, BTreeMap::from([("clusters".to_owned(), 4)]));
    let mut reader = Reader::open(&*bytes).unwrap();
    assert!(matches!(reader.next().unwrap(), Line::Table(_)));
    let Line::Row(cells) = reader.next().unwrap() else { panic!() };
    assert_eq!(cells[2], Cell::Bytes(Some(vec![0, 255])));
}

#[test]
fn truncated_or_changed_backup_is_rejected() {
    let bytes = file(200);
    for end in (0..bytes.len()).step_by(7) {
        let error = check(&bytes[..end]).unwrap_err();
        assert!(
            matches!(error, BackupError::Truncated | BackupError::Foreign(_)),
            "cut at {end} of {}: {error:?}",
            bytes.len()
        );
    }
    for at in (10..bytes.len()).step_by(7) {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(check(&*changed).is_err(), "changed at {at}");
    }
    let text = text(&bytes);
    for (from, to, why) in [
        ("\"c7\"", "\"c8\"", "checksum"),
        ("\"c7\",7", "\"c7\",\"7\"", "does not match its columns"),
        ("\"clusters\"", "\"sqlite_master\"", "unknown table"),
        ("\"kubeconfig_enc\"", "\"id) --\"", "invalid columns"),
        ("\"revision\":7", "\"revision\":9007199254740993", "is above 9007199254740992"),
        ("\"sealed\":2", "\"sealed\":2,\"end\":{}", "unknown line"),
    ] {
        assert!(text.contains(from), "{from}");
        let error = check(&*plain(&text.replacen(from, to, 1))).unwrap_err().to_string();
        assert!(error.contains(why), "{from} → {to}: {error}");
    }
    let more = check(&*plain(&format!("{text}[]\n"))).unwrap_err().to_string();
    assert!(more.contains("data after the end"), "{more}");
    let without_end = text.lines().take(10).fold(String::new(), |text, line| text + line + "\n");
    assert!(
        matches!(check(&*plain(&without_end)), Err(BackupError::Truncated)),
        "complete lines without an end"
    );
}

#[test]
fn other_file_is_not_a_backup() {
    for foreign in [&b""[..], b"SQLite format 3\0", &plain(""), &plain("{}\n"), &plain("PGDMP\n")] {
        let error = check(foreign).unwrap_err();
        assert!(matches!(error, BackupError::Foreign(_)), "{error:?}");
    }
    let newer = text(&file(0)).replacen("\"portcullisBackup\":1", "\"portcullisBackup\":2", 1);
    let error = check(&*plain(&newer)).unwrap_err().to_string();
    assert!(error.contains("portcullis 1.2.3, which is newer"), "{error}");
}

#[test]
fn line_length_is_bounded() {
    let mut out = GzEncoder::new(Vec::new(), Compression::best());
    out.write_all(text(&file(0)).lines().next().unwrap().as_bytes()).unwrap();
    out.write_all(b"\n[\"").unwrap();
    let block = vec![b'x'; 1024 * 1024];
    for _ in 0..=LINE_BYTES_MAX / block.len() {
        out.write_all(&block).unwrap();
    }
    let error = check(&*out.finish().unwrap()).unwrap_err().to_string();
    assert!(error.contains("more than 67108864 bytes"), "{error}");
}
