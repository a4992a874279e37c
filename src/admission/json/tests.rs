//! Beside serde_json: the same texts are JSON, the same is said of those that are not, and they hold the same values.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value as Json;

use super::*;
use crate::admission::decode::build;
use crate::policy::Value;
use crate::policy::engine::analysis::Step;
use crate::policy::engine::reads::Reads;

/// As serde_json reads it, and no key twice.
struct Strict(Json);

struct Visit;

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Visit).map(Strict)
    }
}

impl<'de> Visitor<'de> for Visit {
    type Value = Json;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut read = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            read.push(item);
        }
        Ok(read.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
        let mut read = serde_json::Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if read.contains_key(&key) {
                let short: String = key.chars().take(64).collect();
                let short = short.escape_debug();
                return Err(A::Error::custom(format_args!("key `{short}` stands twice in one object")));
            }
            let Strict(value) = entries.next_value()?;
            read.insert(key, value);
        }
        Ok(read.into())
    }
}

fn engine(json: &Json) -> Value {
    match json {
        Json::Array(items) => Value::from(items.iter().map(engine).collect::<Vec<_>>()),
        Json::Object(fields) => {
            let entry = |(key, value): (&String, &Json)| (Value::from(key.as_str()), engine(value));
            Value::from(fields.iter().map(entry).collect::<BTreeMap<_, _>>())
        }
        other => Value::from(other.clone()),
    }
}

fn read<T>(text: &str, read: impl FnOnce(&mut Reader<'_>) -> Result<T, Error>) -> Result<T, String> {
    let mut reader = Reader::new(text);
    let value = read(&mut reader).map_err(|error| error.to_string())?;
    reader.end().map_err(|error| error.to_string())?;
    Ok(value)
}

/// What is said; without its place where serde_json has gone on over blanks before it says so, or seen in the middle of
/// a number that it will be too large.
fn told(error: &str) -> &str {
    let placeless = [" stands twice", "number out of range"].iter().find_map(|said| error.find(said));
    placeless.and_then(|end| error.get(..=end)).unwrap_or(error)
}

/// What differs between the two, if anything.
fn difference(text: &str) -> Option<String> {
    let theirs = serde_json::from_str::<Strict>(text).map_err(|error| error.to_string());
    let built = read(text, |reader| build(reader, &Reads::everything()));
    let skipped = read(text, |reader: &mut Reader<'_>| reader.skip());
    let mut in_part = Reads::nothing();
    in_part.add(&[Step::Name("a".to_owned()), Step::Any]);
    let in_part = read(text, |reader| build(reader, &in_part)).map(drop);
    let ours = [built.as_ref().err(), skipped.as_ref().err(), in_part.as_ref().err()];
    let same = match &theirs {
        Ok(Strict(theirs)) => built.as_ref() == Ok(&engine(theirs)) && ours == [None; 3],
        Err(theirs) => ours.iter().all(|ours| ours.is_some_and(|ours| told(ours) == told(theirs))),
    };
    let theirs = theirs.map(|Strict(theirs)| theirs);
    (!same).then(|| {
        format!("{text:?}\ntheirs {theirs:?}\nbuilt {built:?}\nskipped {skipped:?}\nin part {in_part:?}")
    })
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
        let keys: Vec<String> = (0..count).map(|at| format!("\"k{at}\":{{\"k{at}\":1}}")).collect();
        texts.push(format!("{{{}}}", keys.join(",")));
        texts.extend([0, count / 2, count - 1].map(|again| format!("{{{},\"k{again}\":2}}", keys.join(","))));
    }
    texts
}

#[test]
fn texts_that_somebody_thought_of() {
    let blanks =
        ["", " ", "\n \n", "\"\u{1}\"", "\"a\nb\"", "\"\u{7f}\u{80}\"", "\u{feff}{}"].map(str::to_owned);
    let lines = TEXTS.lines().flat_map(|line| line.split('|')).map(str::to_owned);
    let texts = blanks.into_iter().chain(lines).chain(strings()).chain(extents());
    let different: Vec<String> = texts.filter_map(|text| difference(&text)).collect();
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
fn texts_that_nobody_thought_of() {
    let pieces = prop::collection::vec(select(&PIECES[..]), 0..24).prop_map(|pieces| pieces.concat());
    let edits = prop::collection::vec((any::<Index>(), select(&PIECES[..]), 0..3usize), 1..3);
    proptest!(check(3000), |(pieces in pieces, document in document(), edits in edits)| {
        let mut edited: Vec<char> = document.chars().collect();
        for (at, piece, length) in edits {
            let start = at.index(edited.len() + 1);
            let end = (start + length).min(edited.len());
            edited.splice(start..end, piece.chars());
        }
        for text in [pieces, document, edited.into_iter().collect()] {
            let difference = difference(&text);
            prop_assert!(difference.is_none(), "{}", difference.unwrap_or_default());
        }
    });
}

#[test]
fn a_value_is_read_again_where_it_stood() {
    let mut reader = Reader::new(r#"[[1, {"a": 2}], 3]"#);
    let mut place = None;
    reader
        .elements(|reader| {
            place.get_or_insert(reader.place()?);
            reader.skip()
        })
        .unwrap();
    let again = reader.again(place.unwrap(), |reader| build(reader, &Reads::everything())).unwrap();
    assert_eq!(again, Value::from_json_str(r#"[1, {"a": 2}]"#).unwrap());
    reader.end().unwrap();
}

#[test]
fn what_is_not_expected_is_named() {
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
