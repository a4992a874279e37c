use super::*;

struct Row {
    id: String,
    labels: BTreeMap<String, String>,
}

/// What a ledger of `count` rows answers: each third is gold.
fn list(count: usize, after: Option<&str>, limit: i64) -> Vec<Row> {
    let all = (0..count).map(|n| format!("{n:05}"));
    let rows = all.filter(|id| after.is_none_or(|after| id.as_str() > after));
    let row = |id: String| {
        let tier = if id.parse::<usize>().unwrap() % 3 == 0 { "gold" } else { "tin" };
        Row { id, labels: BTreeMap::from([("tier".to_owned(), tier.to_owned())]) }
    };
    rows.take(usize::try_from(limit).unwrap()).map(row).collect()
}

/// All pages of a list, and how many there were.
fn walk(count: usize, limit: u16, selector: &str) -> (Vec<String>, usize) {
    let (mut found, mut pages, mut cursor) = (Vec::new(), 0, None::<String>);
    loop {
        let window = Window::new(Some(limit), cursor.as_deref(), Some(selector)).unwrap();
        let mut builder = window.builder();
        while let Some((after, limit)) = builder.next_query() {
            builder.add(list(count, after.as_deref(), limit), |row| &row.id, |row| &row.labels);
        }
        let page = builder.build();
        assert!(page.items.len() <= usize::from(limit));
        pages += 1;
        found.extend(page.items.into_iter().map(|row| row.id));
        cursor = page.next_cursor;
        if cursor.is_none() {
            return (found, pages);
        }
    }
}

#[test]
fn pages_have_no_gap_and_no_repeat() {
    for count in [0, 1, 49, 50, 51, 100, 120, 501, 4_321] {
        for limit in [1, 2, 50, 200] {
            for (selector, step) in [("", 1), ("tier=gold", 3), ("tier in (gold)", 3)] {
                let (found, _) = walk(count, limit, selector);
                let expected: Vec<_> = (0..count).step_by(step).map(|n| format!("{n:05}")).collect();
                assert_eq!(found, expected, "{count} rows, {limit} a page, `{selector}`");
            }
        }
    }
}

#[test]
fn a_full_page_at_the_end_is_the_last() {
    assert_eq!(walk(100, 50, "").1, 2);
    assert_eq!(walk(0, 50, "").1, 1);
}

#[test]
fn a_selector_that_finds_nothing_looks_at_a_bounded_number_of_rows() {
    let (found, pages) = walk(4_321, 50, "tier=lead");
    assert_eq!((found.len(), pages), (0, 3));
}

#[test]
fn a_cursor_that_is_none_of_ours_is_refused() {
    let made = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let bad = [
        "x".to_owned(),
        "!".to_owned(),
        made("abc"),
        made("1."),
        made("1.a b"),
        made("1.a\u{0}"),
        made("1.abc"),
        made("2.a"),
        made("2.00000000.abc"),
    ];
    for cursor in bad {
        let problem = Window::new(None, Some(&cursor), Some("=,=")).unwrap_err();
        let pointers: Vec<_> = problem.errors().iter().map(|fault| fault.pointer.as_str()).collect();
        assert_eq!(pointers, ["?cursor", "?labelSelector"]);
    }
    assert_eq!(Window::new(None, Some(&encode("abc")), None).unwrap().after.as_deref(), Some("abc"));
}

fn id(item: &str) -> &str {
    item.get(..2).unwrap_or(item)
}

#[test]
fn page_ends_early_and_the_next_goes_on() {
    let all: Vec<String> = (0..20).map(|n| format!("{n:02}{}", "x".repeat(300 * 1024))).collect();
    let (mut cursor, mut seen, mut pages) = (None::<String>, Vec::new(), 0);
    loop {
        let mut builder = Window::new(Some(200), cursor.as_deref(), None).unwrap().builder().large();
        while let Some((after, limit)) = builder.next_query() {
            assert!(limit <= 8, "few at a time");
            let rest = all.iter().filter(|item| after.as_deref().is_none_or(|after| id(item) > after));
            let rows: Vec<String> = rest.take(usize::try_from(limit).unwrap()).cloned().collect();
            builder.add_large(rows, |item| id(item), no_labels);
        }
        let page = builder.build();
        let bytes: usize = page.items.iter().map(String::len).sum();
        assert!(bytes <= PAGE_BYTES_MAX && !page.items.is_empty());
        seen.extend(page.items);
        pages += 1;
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!((seen, pages), (all, 7));
}

#[test]
fn item_that_is_too_large_is_a_page_of_its_own() {
    let mut builder = Window::new(None, None, None).unwrap().builder().large();
    let rows = vec!["a".repeat(2 * PAGE_BYTES_MAX), "b".to_owned()];
    builder.add_large(rows, |item| id(item), no_labels);
    let page = builder.build();
    assert_eq!((page.items.len(), page.next_cursor.is_some()), (1, true));
}
