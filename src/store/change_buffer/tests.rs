use serde_json::json;

use super::*;

fn now(ledger: &str, revision: u64) -> LedgerHead {
    LedgerHead { ledger: ledger.to_owned(), revision, digest: format!("{ledger}{revision}").into() }
}

fn plain() -> Variant {
    Variant { cluster: None, gzip: false, format: 1 }
}

fn at<'a>(ledger: &'a str, revision: u64, digest: Option<&'a str>) -> Position<'a> {
    Position { ledger, revision, digest }
}

fn changes(revisions: std::ops::RangeInclusive<u64>) -> Vec<Change> {
    let change = |revision| Change {
        revision,
        digest: format!("a{revision}").into(),
        patch: json!({"revision": revision}).to_string().into(),
        parts: Arc::default(),
    };
    revisions.map(change).collect()
}

async fn at_once(buffer: &ChangeBuffer, position: Option<Position<'_>>) -> String {
    match buffer.next(position, Duration::from_millis(1)).await {
        Next::Changes(_, changes) => {
            format!("{:?}", changes.iter().map(|change| change.revision).collect::<Vec<_>>())
        }
        Next::Whole(now) => format!("whole {}", now.revision),
        Next::Unchanged => "nothing".to_owned(),
        Next::Unavailable(_) => "away".to_owned(),
    }
}

#[tokio::test]
async fn answer_depends_on_the_position() {
    let buffer = ChangeBuffer::new(CancellationToken::new());
    assert_eq!(at_once(&buffer, None).await, "away");
    buffer.whole(&now("a", 5));
    for (position, expected) in [
        (None, "whole 5"),
        (Some(at("a", 5, None)), "nothing"),
        (Some(at("a", 4, None)), "whole 5"),
        (Some(at("b", 5, None)), "whole 5"),
        (Some(at("a", 6, None)), "whole 5"),
    ] {
        assert_eq!(at_once(&buffer, position).await, expected, "{position:?}");
    }
    buffer.changed(&now("a", 8), changes(6..=8));
    assert_eq!(at_once(&buffer, Some(at("a", 5, None))).await, "[6, 7, 8]");
    assert_eq!(at_once(&buffer, Some(at("a", 7, None))).await, "[8]");
    assert_eq!(at_once(&buffer, Some(at("a", 4, None))).await, "whole 8");
    buffer.changed(&now("a", 10), changes(10..=10));
    assert_eq!(at_once(&buffer, Some(at("a", 8, None))).await, "whole 10", "9 is missing");
    buffer.set_contact(LedgerContact::Disconnected);
    assert_eq!(at_once(&buffer, Some(at("a", 9, None))).await, "away");
    buffer.set_contact(LedgerContact::Connected);
    buffer.whole(&now("b", 2));
    assert_eq!(at_once(&buffer, Some(at("a", 10, None))).await, "whole 2");
}

#[tokio::test]
async fn gate_of_another_history_receives_the_whole_document() {
    let buffer = ChangeBuffer::new(CancellationToken::new());
    buffer.whole(&now("a", 5));
    buffer.changed(&now("a", 8), changes(6..=8));
    for (position, expected) in [
        (Some(at("a", 5, Some("a5"))), "[6, 7, 8]"),
        (Some(at("a", 7, Some("a7"))), "[8]"),
        (Some(at("a", 8, Some("a8"))), "nothing"),
        (Some(at("a", 5, Some("other"))), "whole 8"),
        (Some(at("a", 7, Some("other"))), "whole 8"),
        (Some(at("a", 8, Some("other"))), "whole 8"),
        (Some(at("a", 7, Some(""))), "whole 8"),
        (Some(at("a", 8, Some(""))), "whole 8"),
        (Some(at("a", 4, Some("a4"))), "whole 8"),
    ] {
        assert_eq!(at_once(&buffer, position).await, expected, "{position:?}");
    }
    buffer.whole(&LedgerHead { digest: "other".into(), ..now("a", 8) });
    assert_eq!(
        at_once(&buffer, Some(at("a", 7, Some("a7")))).await,
        "whole 8",
        "its changes are not of this history"
    );
    assert_eq!(at_once(&buffer, Some(at("a", 8, Some("a8")))).await, "whole 8");
    assert_eq!(at_once(&buffer, Some(at("a", 8, Some("other")))).await, "nothing");
}

#[tokio::test]
async fn document_of_another_history_is_not_sent() {
    let buffer = ChangeBuffer::new(CancellationToken::new());
    let make = |now: LedgerHead, text: &'static str| async move {
        Ok::<_, std::convert::Infallible>((now, Bytes::from(text)))
    };
    buffer.whole(&now("a", 9));
    assert_eq!(buffer.document(&plain(), &now("a", 9), make(now("a", 9), "before")).await.unwrap(), "before");
    let fork = LedgerHead { digest: "other".into(), ..now("a", 9) };
    buffer.whole(&fork);
    assert_eq!(buffer.document(&plain(), &fork, make(fork.clone(), "after")).await.unwrap(), "after");
}

#[tokio::test]
async fn gate_far_behind_receives_the_whole_document() {
    let buffer = ChangeBuffer::new(CancellationToken::new());
    buffer.whole(&now("a", 0));
    for revision in 1..=2000 {
        buffer.changed(&now("a", revision), changes(revision..=revision));
    }
    assert_eq!(at_once(&buffer, Some(at("a", 975, None))).await, "whole 2000");
    assert!(at_once(&buffer, Some(at("a", 976, None))).await.starts_with("[977, "));
}

#[tokio::test]
async fn changes_are_bounded_in_bytes() {
    let buffer = ChangeBuffer::new(CancellationToken::new());
    buffer.whole(&now("a", 0));
    let text: Arc<str> = "x".repeat(1024 * 1024).into();
    for revision in 1..=100 {
        let change =
            Change { revision, digest: Arc::default(), patch: Arc::clone(&text), parts: Arc::default() };
        buffer.changed(&now("a", revision), vec![change]);
    }
    assert_eq!(buffer.0.changes.lock().unwrap().entries.len(), CHANGES_BYTES_MAX / (1024 * 1024));
    assert_eq!(at_once(&buffer, Some(at("a", 99, None))).await, "[100]");
    assert_eq!(at_once(&buffer, Some(at("a", 50, None))).await, "whole 100");
    let change = Change {
        revision: 101,
        digest: Arc::default(),
        patch: "x".repeat(2 * CHANGES_BYTES_MAX).into(),
        parts: Arc::default(),
    };
    buffer.changed(&now("a", 101), vec![change]);
    assert_eq!(
        at_once(&buffer, Some(at("a", 100, None))).await,
        "whole 101",
        "a single change can exceed the limit"
    );
}

#[tokio::test]
async fn waiting_gates_are_woken() {
    let closing = CancellationToken::new();
    let buffer = ChangeBuffer::new(closing.clone());
    buffer.whole(&now("a", 1));
    let wait = || {
        let buffer = buffer.clone();
        tokio::spawn(async move { buffer.next(Some(at("a", 1, None)), Duration::from_mins(1)).await })
    };
    let (first, second) = (wait(), wait());
    tokio::task::yield_now().await;
    buffer.changed(&now("a", 2), changes(2..=2));
    assert!(matches!(first.await.unwrap(), Next::Changes(..)));
    assert!(matches!(second.await.unwrap(), Next::Changes(..)));
    let third = tokio::spawn({
        let buffer = buffer.clone();
        async move { buffer.next(Some(at("a", 2, None)), Duration::from_mins(1)).await }
    });
    tokio::task::yield_now().await;
    closing.cancel();
    assert!(matches!(third.await.unwrap(), Next::Unavailable(_)));
}

#[tokio::test]
async fn document_is_rendered_once_per_revision() {
    let buffer = ChangeBuffer::new(CancellationToken::new());
    let made = std::sync::atomic::AtomicU32::new(0);
    let make = |revision: u64| {
        made.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        async move { Ok::<_, std::convert::Infallible>((now("a", revision), Bytes::from(revision.to_string()))) }
    };
    for (asked, have, expected) in [(1, 1, "1"), (1, 9, "1"), (2, 3, "3"), (3, 9, "3")] {
        let document = buffer.document(&plain(), &now("a", asked), async { make(have).await }).await.unwrap();
        assert_eq!(document, expected);
    }
    assert_eq!(made.load(std::sync::atomic::Ordering::Relaxed), 2);
    let compressed = buffer
        .document(&Variant { gzip: true, ..plain() }, &now("a", 3), async { make(7).await })
        .await
        .unwrap();
    assert_eq!(compressed, "7", "variants are cached separately");
}
