//! Compares the decoder with serde_json: the same texts are valid, with the same values or the same errors.

mod strict; // serde_json, and no key twice

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::Value as Json;

use super::decode;
use portcullis_policy::Value;
use portcullis_rego::analysis::Step;
use portcullis_rego::reads::Reads;
use portcullis_strict_json::*;

fn read<T>(text: &str, read: impl FnOnce(&mut Reader<'_>) -> Result<T, Error>) -> Result<T, String> {
    let mut reader = Reader::new(text);
    let value = read(&mut reader).map_err(|error| error.to_string())?;
    reader.end().map_err(|error| error.to_string())?;
    Ok(value)
}

/// What is said; without its place where serde_json has gone on over blanks before it says so, or seen in the middle of
/// a number that it will be too large.
fn without_position(error: &str) -> &str {
    let placeless = [" in one object", "number out of range"].iter().find_map(|said| error.find(said));
    placeless.and_then(|end| error.get(..=end)).unwrap_or(error)
}

/// What is left of a document where only this is read of it, and nothing deeper than is built.
fn projected(json: &Json, reads: &Reads) -> Value {
    project(json, reads, 0)
}

fn project(json: &Json, reads: &Reads, depth: u16) -> Value {
    match json {
        Json::Array(_) | Json::Object(_) if depth >= crate::decode::DEPTH_MAX => Value::Null,
        Json::Array(items) => {
            let below = reads.element().into_iter();
            Value::from(
                below
                    .flat_map(|below| items.iter().map(|item| project(item, below, depth + 1)))
                    .collect::<Vec<_>>(),
            )
        }
        Json::Object(fields) => {
            let entry = |(key, value): (&String, &Json)| {
                Some((Value::from(key.as_str()), project(value, reads.key(key)?.1, depth + 1)))
            };
            Value::from(fields.iter().filter_map(entry).collect::<BTreeMap<_, _>>())
        }
        other => Value::from(other.clone()),
    }
}

fn reads(paths: &[&str]) -> Reads {
    let mut reads = Reads::nothing();
    for path in paths {
        let step = |part: &str| if part == "*" { Step::Any } else { Step::Name(part.to_owned()) };
        reads.add(&path.split('.').filter(|part| !part.is_empty()).map(step).collect::<Vec<_>>());
    }
    reads
}

/// What differs between the two, if anything, where all is read, nothing, or a part.
fn difference(text: &str, part: &Reads) -> Option<String> {
    let theirs = strict::read(text).map_err(|error| error.to_string());
    let skipped = read(text, |reader: &mut Reader<'_>| reader.skip()).map(|()| Value::Null);
    let said = |ours: &Result<Value, String>, expected: &dyn Fn(&Json) -> Value| match (ours, &theirs) {
        (Ok(ours), Ok(theirs)) => *ours == expected(theirs),
        (Err(ours), Err(theirs)) => without_position(ours) == without_position(theirs),
        _ => false,
    };
    let mut same = said(&skipped, &|_| Value::Null);
    let mut built = Vec::new();
    for reads in [&Reads::everything(), &Reads::nothing(), part] {
        let ours = read(text, |reader| Ok(decode(reader, reads)?.value));
        same &= said(&ours, &|theirs| projected(theirs, reads));
        built.push(ours);
    }
    (!same).then(|| format!("{text:?}\ntheirs {theirs:?}\nskipped {skipped:?}\nbuilt {built:?}\nof {part:?}"))
}

/// Texts, one a line.
const TEXTS: &str = r#"
{|[|"|{}|[]| { } |{"a"|{"a":|{"a":1|{"a":1,|{"a":1,}|{,}|{1:2}|{"a" 1}|{"a":1 "b":2}|[1|[1,|[1,]|[,]|[1 2]|{"a":1]|[1}
nul|nulx|null|nullx|t|tru|true|f|falsy|false|x|'a'|{}x|{} {}|ü
0|-|-0|-0.0|00|01|-01|1.|1.x|1.5|1e|1ex|1e+|1e5|1E-5|1e+05|.5|+1|1e999|-1e999|1e-999|0e999|NaN|Infinity
18446744073709551615|18446744073709551616|-9223372036854775808|-9223372036854775809|123456789012345678
1234567890123456789|12345678901234567890123|123456789012345678901234567890.5e-7
"\""|"\\"|"\/"|"\b\f\n\r\t"|"\x"|"\|"\u|"\u00|"\u00zz"|"\u0041"|"ü€😀"
"\ud83d\ude00"|"\ud83d"|"\ud83d\n"|"\ud83dx"|"\ud83d\u0041"|"\ude00"|"\ud83d\|"\ud83d\u"|"\ud83d\ud83d"|"\uD83D\uDE00\uD83D"
{"a":1,"\u0061":2}|{"a/b":1,"a\/b":2}|{"\n":1,"\u000a":2}|{"\n":1,"n":2}|{"\"":1,"\u0022":2}|{"\\":1,"\u005C":2}
{"\u0001":1,"\u0001":2}|{"":1,"":2}|{"":1,"\u0000":2}|{"\u0000":1,"\u0000\u0000":2}|{"a":{"b":1,"b":2}}
"#;

/// Strings that begin, end and are escaped at each place of a block.
fn strings() -> Vec<String> {
    let of = |length: usize| -> [String; 10] {
        let (x, y) = ("x".repeat(length), "y".repeat(40 - length));
        [
            format!("\"{x}"),
            format!("\"{x}\""),
            format!("[\"{x}\\n{y}\"]"),
            format!("{{\"{x}\\\"\\\\{y}\":1,\"{x}\\u0022\\u005c{y}\":2}}"),
            format!("{{\"{x}\":1,\"{x}\":2}}"),
            format!("{{\"{x}\":1,\"{x}x\":2, \"{x}\u{fc}\" :3}}"),
            format!("\"{x}\u{1f}{y}\""),
            format!("\"{x}\\"),
            format!("\"{x}\\ud83d\\ude00{y}\""),
            format!("\"{x}\\ud83d\\ude0"),
        ]
    };
    (0..40).flat_map(of).collect()
}

/// As deep as it goes and deeper, and objects with as many keys as are looked for in this way and that.
fn extents() -> Vec<String> {
    let mut texts = Vec::new();
    for depth in [1, 126, 127, 128, 129, 300] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("{\"b\":", "}"), ("[{\"a\":", "}]")] {
            texts.push(format!("{}0{}", open.repeat(depth), close.repeat(depth)));
            texts.push(open.repeat(depth));
        }
    }
    for count in [31, 32, 33, 63, 64, 65, 66, 100, 3000] {
        // What stands in an inner object comes again around it.
        let key = |at| format!("\"k{at}\":{{\"k{at}\":1,\"k{}\":2}}", at + 1);
        let keys: Vec<String> = (0..count).map(key).collect();
        texts.push(format!("{{{}}}", keys.join(",")));
        texts.extend([0, count / 2, count - 1].map(|again| format!("{{{},\"k{again}\":2}}", keys.join(","))));
    }
    texts
}

#[test]
fn chosen_texts_read_as_in_serde_json() {
    let blanks =
        ["", " ", "\n \n", "\"\u{1}\"", "\"a\nb\"", "\"\u{7f}\u{80}\"", "\u{feff}{}"].map(str::to_owned);
    let lines = TEXTS.lines().flat_map(|line| line.split('|')).map(str::to_owned);
    let texts = blanks.into_iter().chain(lines).chain(strings()).chain(extents());
    let different: Vec<String> = texts.filter_map(|text| difference(&text, &reads(&["a.*"]))).collect();
    assert!(different.is_empty(), "{}", different.join("\n\n"));
}

fn string() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        8 => "[a-c]{0,18}",
        2 => select(&["\\\"", "\\\\", "\\n", "\\/", "\\u0061", "\\u000a", "\\ud83d\\ude00", "ü", "😀", "\u{7f}"][..]).prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..4).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

fn document() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        4 => string(),
        1 => select(&["null", "true", "false", "{}", "[]", "0", "-0", "-1", "1.50", "1e3", "18446744073709551616", "1e400"][..]).prop_map(str::to_owned),
        1 => any::<i64>().prop_map(|number| number.to_string()),
        1 => any::<f64>().prop_filter("a number", |number| number.is_finite()).prop_map(|number| number.to_string()),
    ];
    let blank = || select(&["", "", "", " ", "\n", "\t\r\n "][..]);
    leaf.prop_recursive(6, 60, 8, move |inner| {
        let item = (blank(), inner.clone(), blank()).prop_map(|(a, value, b)| [a, &value, b].concat());
        let member = (blank(), string(), blank(), inner, blank())
            .prop_map(|(a, key, b, value, c)| [a, &key, b, ":", &value, c].concat());
        prop_oneof![
            prop::collection::vec(item, 0..8).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec(member, 0..8).prop_map(|members| format!("{{{}}}", members.join(","))),
        ]
    })
}

/// What is read of a text, in parts of it that come and that do not.
const PATHS: &[&str] = &["*", "a", "a.*", "*.a", "*.*", "a.b", "b.*.a", "*.*.b", "", "aaaaaaaaaaaaaaaa.a"];

const PIECES: [&str; 28] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "\\u",
    "\\ud800",
    "\\u0061",
    "\"a\"",
    "\"a\":",
    "\"b\":1",
    "null",
    "true",
    "false",
    "0",
    "-",
    "1e",
    ".5",
    "1e999",
    " ",
    "\n",
    "\u{1}",
    "ü",
    "aaaaaaaaaaaaaaaa",
    "{\"a\":[{\"a\":1}]}",
];

fn check(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

#[test]
fn random_texts_read_as_in_serde_json() {
    let pieces = prop::collection::vec(select(&PIECES[..]), 0..24).prop_map(|pieces| pieces.concat());
    let edits = prop::collection::vec((any::<Index>(), select(&PIECES[..]), 0..3usize), 1..3);
    let paths = prop::collection::vec(select(PATHS), 0..4);
    proptest!(check(3000), |(pieces in pieces, document in document(), edits in edits, paths in paths)| {
        let mut edited: Vec<char> = document.chars().collect();
        for (at, piece, length) in edits {
            let start = at.index(edited.len() + 1);
            let end = (start + length).min(edited.len());
            edited.splice(start..end, piece.chars());
        }
        for text in [pieces, document, edited.into_iter().collect()] {
            let difference = difference(&text, &reads(&paths));
            prop_assert!(difference.is_none(), "{}", difference.unwrap_or_default());
        }
    });
}

#[test]
fn value_is_read_again_at_its_offset() {
    let mut reader = Reader::new(r#"[[1, {"a": 2}], 3]"#);
    let mut place = None;
    reader
        .elements(|reader| {
            place.get_or_insert(reader.offset()?);
            reader.skip()
        })
        .unwrap();
    let again = reader.read_at(place.unwrap(), |reader| decode(reader, &Reads::everything())).unwrap();
    assert_eq!(again.value, Value::from_json_str(r#"[1, {"a": 2}]"#).unwrap());
    reader.end().unwrap();
}

#[test]
fn unexpected_type_is_named() {
    for (text, found) in [
        ("null", "null"),
        ("true", "boolean `true`"),
        ("15", "integer `15`"),
        ("1e5", "floating point `1e5`"),
        ("\"a\\n\"", "string \"a\\n\""),
        ("[1]", "sequence"),
        (" {\"a\":1}", "map"),
    ] {
        let said = Reader::new(text).unexpected("a wonder").to_string();
        assert_eq!(said, format!("invalid type: {found}, expected a wonder at line 1 column {}", text.len()));
    }
    let said = Reader::new("[1,").unexpected("a wonder").within("x").to_string();
    assert_eq!(said, "EOF while parsing a value at line 1 column 3");
}

#[test]
fn depth_is_bounded_as_in_kubernetes() {
    for (open, close, levels) in [("[", "]", 1), ("{\"a\":", "}", 1), ("[{\"b\":[", "]}]", 3)] {
        let text = |depth: usize| format!("{}0{}", open.repeat(depth / levels), close.repeat(depth / levels));
        for (depth, read) in [(9_999, true), (10_002, true), (10_005, false), (1_000_000, false)] {
            let text = text(depth);
            let mut reader = Reader::new(&text);
            let skipped = reader.skip().and_then(|()| reader.end()).map_err(|error| error.to_string());
            let deepest = reader.deepest();
            assert_eq!(skipped.is_ok(), read, "{depth} {skipped:?}");
            assert!(!read || usize::from(deepest) == depth / levels * levels, "{depth} {deepest}");
        }
    }
    let flat = "[".repeat(100) + &"]".repeat(100);
    let mut shallow = Reader::new(&flat);
    shallow.skip().unwrap();
    assert_eq!(shallow.deepest(), 0);
}
