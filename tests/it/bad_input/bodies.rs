//! Bytes that are no AdmissionReview: HTTP 400 and a sentence, since without a uid there is nothing to answer in.

use crate::support::wire::{Ask, envelope, join};
use crate::support::{Gate, Options};

const NO_UID: &str = "`request.uid` is missing, empty or longer than 256 bytes";
const NO_REQUEST: &str = "`request` is missing";

/// A body, and the sentence it is answered with; one that ends in `*` may go on.
type Row = (&'static str, Vec<u8>, &'static str);

fn refused(rows: &[Row]) {
    let mut gate = Gate::start(&Options::default());
    let mut wrong = Vec::new();
    for (what, body, sentence) in rows {
        for path in ["/validate", "/mutate"] {
            let reply = gate.dial().post(path, Some("application/json"), body);
            let text = reply.text();
            let said = match sentence.strip_suffix('*') {
                Some(start) => text.starts_with(start),
                None => text == format!("{sentence}\n"),
            };
            let bounded = text.chars().count() <= 310 && !text.trim_end().contains(char::is_control);
            if reply.status != 400 || !said || !bounded {
                wrong.push(format!("{what}, {path}: {} {text}", reply.status));
            }
        }
        gate.is_unharmed();
    }
    assert!(wrong.is_empty(), "{}", wrong.join(""));
    let counted = gate.metric("portcullis_http_rejected_total", &["status=\"400\""]);
    assert_eq!(counted, 2 * rows.len() as u64);
}

pub fn without(field: &str) -> Vec<u8> {
    let fields: Vec<_> = Ask::default().fields().into_iter().filter(|(key, _)| *key != field).collect();
    envelope(&join(&fields)).into_bytes()
}

pub fn saying(field: &str, value: &str) -> Vec<u8> {
    let fields: Vec<_> = Ask::default()
        .fields()
        .into_iter()
        .map(|(key, old)| (key, if key == field { value.into() } else { old }))
        .collect();
    envelope(&join(&fields)).into_bytes()
}

#[test]
fn what_is_no_json() {
    let good = Ask::default().body();
    let mut latin = Ask::default().with("\"web\"", "\"w?b\"");
    let at = latin.iter().position(|byte| *byte == b'?').unwrap();
    latin[at] = 0xe9;
    let mut rows: Vec<Row> = vec![
        ("empty", vec![], "the body is not an AdmissionReview: EOF while parsing a value at line 1 column 0"),
        (
            "blank",
            b" \n ".to_vec(),
            "the body is not an AdmissionReview: EOF while parsing a value at line 2 column 1",
        ),
        ("text", b"hello".to_vec(), "the body is not an AdmissionReview: expected value at line 1 column 1"),
        (
            "yaml",
            b"kind: AdmissionReview".to_vec(),
            "the body is not an AdmissionReview: expected value at line 1 column 1",
        ),
        (
            "a list",
            b"[]".to_vec(),
            "the body is not an AdmissionReview: invalid type: sequence, expected an AdmissionReview object*",
        ),
        (
            "null",
            b"null".to_vec(),
            "the body is not an AdmissionReview: invalid type: null, expected an AdmissionReview object*",
        ),
        (
            "protobuf",
            b"k8s\0\x0a\x1f".to_vec(),
            "the body is not an AdmissionReview: expected value at line 1 column 1",
        ),
        (
            "a byte order mark",
            [b"\xef\xbb\xbf", good.as_slice()].concat(),
            "the body is not an AdmissionReview: expected value at line 1 column 1",
        ),
        (
            "two reviews",
            [good.as_slice(), &good].concat(),
            "the body is not an AdmissionReview: trailing characters at line 2 column 1",
        ),
        ("latin-1", latin, "the body is not UTF-8 at byte *"),
        ("half a character", [good.as_slice(), b"\xe2\x82"].concat(), "the body is not UTF-8 at byte *"),
        (
            "half a surrogate",
            Ask::default().with("\"web\"", r#""\ud800""#),
            "the body is not an AdmissionReview: *",
        ),
    ];
    for end in [1, good.len() / 3, good.len() / 2, good.len() - 3] {
        rows.push((
            "truncated",
            good[..end].to_vec(),
            "the body is not an AdmissionReview: EOF while parsing *",
        ));
    }
    refused(&rows);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table, a line or a few a row")]
fn what_is_json_and_no_review() {
    refused(&[
        (
            "an empty object",
            b"{}".to_vec(),
            "`, kind ` is not supported; send `admission.k8s.io/v1`, kind `AdmissionReview`",
        ),
        (
            "v1beta1",
            Ask::default().with("k8s.io/v1\"", "k8s.io/v1beta1\""),
            "`admission.k8s.io/v1beta1, kind AdmissionReview` is not supported; send `admission.k8s.io/v1`, kind `AdmissionReview`",
        ),
        (
            "another kind",
            Ask::default().with("AdmissionReview", "ConversionReview"),
            "`admission.k8s.io/v1, kind ConversionReview` is not supported; *",
        ),
        (
            "a terminal's escape",
            Ask::default().with("AdmissionReview", r"Admission\u001b[31m\u202eReview"),
            "`admission.k8s.io/v1, kind Admission*",
        ),
        (
            "no request",
            br#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"}"#.to_vec(),
            NO_REQUEST,
        ),
        (
            "a null request",
            br#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":null}"#.to_vec(),
            NO_REQUEST,
        ),
        (
            "a request that is a list",
            br#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":[]}"#.to_vec(),
            "the body is not an AdmissionReview: invalid type: sequence, expected the request of an AdmissionReview, an object*",
        ),
        ("an empty request", envelope("").into_bytes(), NO_UID),
        ("no uid", without("uid"), NO_UID),
        ("an empty uid", saying("uid", r#""""#), NO_UID),
        ("a null uid", saying("uid", "null"), NO_UID),
        ("a uid of 300 bytes", saying("uid", &format!("\"{}\"", "u".repeat(300))), NO_UID),
        (
            "a uid that is a number",
            saying("uid", "5"),
            "the body is not an AdmissionReview: request.uid: invalid type: integer `5`, expected a string*",
        ),
        (
            "a name that is a number",
            saying("name", "5"),
            "the body is not an AdmissionReview: request.name: invalid type: integer `5`, expected a string*",
        ),
        (
            "a namespace that is a list",
            saying("namespace", "[]"),
            "the body is not an AdmissionReview: request.namespace: invalid type: sequence*",
        ),
        (
            "an operation that is an object",
            saying("operation", "{}"),
            "the body is not an AdmissionReview: request.operation: invalid type: map, expected a string*",
        ),
        (
            "a person that is a text",
            saying("userInfo", "\"alice\""),
            "the body is not an AdmissionReview: request.userInfo: invalid type: string \"alice\", expected an object*",
        ),
        (
            "groups that are a text",
            saying("userInfo", r#"{"username":"alice","groups":"system:masters"}"#),
            "the body is not an AdmissionReview: request.userInfo: invalid type: string \"system:masters\", expected a list of strings*",
        ),
        (
            "a group that is a number",
            saying("userInfo", r#"{"username":"alice","groups":[5]}"#),
            "the body is not an AdmissionReview: request.userInfo: invalid type: integer `5`, expected a string*",
        ),
        (
            "a kind that is a text",
            saying("kind", "\"Pod\""),
            "the body is not an AdmissionReview: request.kind: invalid type: string \"Pod\", expected an object*",
        ),
        (
            "a dry run that is a text",
            saying("dryRun", "\"yes\""),
            "the body is not an AdmissionReview: request.dryRun: invalid type: string \"yes\", expected a boolean*",
        ),
        (
            "a list in the place of a person",
            saying("userInfo", r#"["alice",["system:masters"]]"#),
            "the body is not an AdmissionReview: request.userInfo: invalid type: sequence*",
        ),
        (
            "a list in the place of a resource",
            saying("resource", r#"["","v1","","pods"]"#),
            "the body is not an AdmissionReview: request.resource: invalid type: sequence*",
        ),
    ]);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table, a line or a few a row")]
fn what_is_too_deep_or_says_a_thing_twice_or_beyond_all_numbers() {
    let deep = |open: &str, close: &str| format!("{}1{}", open.repeat(11_000), close.repeat(11_000));
    let limit = "the body is not an AdmissionReview: *";
    let twice = "the body is not an AdmissionReview: duplicate key `";
    let key = |key: &'static str| -> &'static str {
        Box::leak(format!("{twice}{key}` in one object*").into_boxed_str())
    };
    let within = |from: &str, to: &str| Ask::default().with(from, to);
    refused(&[
        ("11,000 lists", deep("[", "]").into_bytes(), limit),
        (
            "a deep object, in a part that is read",
            within("\"app\":\"web\"", &format!("\"app\":{}", deep("{\"a\":", "}"))),
            limit,
        ),
        (
            "a deep object, in a part that is skipped",
            within("\".\":{}", &format!("\".\":{}", deep("[", "]"))),
            limit,
        ),
        ("deep options", saying("options", &deep("[", "]")), limit),
        ("a deep old object", saying("oldObject", &deep("[", "]")), limit),
        (
            "a deep field that nobody knows",
            Ask::default().with("\"uid\"", &format!("\"new\":{},\"uid\"", deep("[", "]"))),
            limit,
        ),
        ("two kinds", within("{\"kind\"", "{\"kind\":\"AdmissionReview\",\"kind\""), key("kind")),
        ("two requests", within("\"request\":", "\"request\":null,\"request\":"), key("request")),
        (
            "two requests, one escaped",
            within("\"request\":", "\"\\u0072equest\":null,\"request\":"),
            key("request"),
        ),
        ("two uids", within("\"uid\":", "\"uid\":\"1\",\"uid\":"), key("uid")),
        (
            "two people",
            within("\"userInfo\":", "\"userInfo\":{\"username\":\"root\"},\"userInfo\":"),
            key("userInfo"),
        ),
        (
            "two names of a person",
            within("\"username\":", "\"username\":\"root\",\"username\":"),
            "the body is not an AdmissionReview: request.userInfo: duplicate key `username` in one object*",
        ),
        ("two objects", within("\"object\":", "\"object\":{},\"object\":"), key("object")),
        ("two objects, one null", within("\"object\":", "\"object\":null,\"object\":"), key("object")),
        ("two fields that nobody knows", within("\"uid\":", "\"new\":1,\"new\":2,\"uid\":"), key("new")),
        (
            "two images, in a part that is read",
            within("\"image\":", "\"image\":\"x\",\"image\":"),
            key("image"),
        ),
        ("two specs", within("\"spec\":", "\"spec\":{},\"spec\":"), key("spec")),
        ("two labels", within("\"app\":\"web\"", "\"app\":\"web\",\"app\":\"web\""), key("app")),
        (
            "two keys in managedFields, a part that is skipped",
            within("\"f:app\":{}", "\"f:app\":{},\"f:app\":{}"),
            key("f:app"),
        ),
        (
            "two keys in options",
            within("\"kind\":\"CreateOptions\"", "\"kind\":1,\"kind\":2"),
            "the body is not an AdmissionReview: request.options: duplicate key `kind` in one object*",
        ),
        (
            "1e999, in a part that is read",
            within("\"app\":\"web\"", "\"app\":1e999"),
            "the body is not an AdmissionReview: number out of range*",
        ),
        (
            "1e999, in a part that is skipped",
            within("\"f:app\":{}", "\"f:app\":1e999"),
            "the body is not an AdmissionReview: number out of range*",
        ),
        (
            "an infinity",
            within("\"f:app\":{}", "\"f:app\":Infinity"),
            "the body is not an AdmissionReview: expected value*",
        ),
    ]);
}
