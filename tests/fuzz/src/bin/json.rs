//! Texts in the place of an object: what the gate's own reader builds, passes over and refuses is what serde_json does,
//! and a key stands once in its object however it is written.

use portcullis_fuzz::{Outcome, beside, run};

/// What JSON is made of, and what only looks like it.
const WORDS: &[&[u8]] = &[
    b"{", b"}", b"[", b"]", b",", b":", b"\"", b"\\", b"\\u", b"\\u0061", b"\\u000a", b"\\ud83d", b"\\ude00", b"\\ud83d\\ude00", b"\\\"", b"\\\\", b"\\/", b"\\n", b"\\x", b"\"a\"", b"\"a\":", b"\"\\u0061\":",
    b"\"b\":1,", b"\"\":", b"{\"a\":", b"[[", b"]]", b"null", b"true", b"false", b"nul", b"0", b"-", b"-0", b"00", b"1e", b"1e5", b"1e400", b"1.7976931348623157e308", b"1.7976931348623159e308", b"18446744073709551615",
    b"18446744073709551616", b"-9223372036854775809", b"123456789012345678", b".5", b"NaN", b" ", b"\n", b"\t\r", b"\x0b", b"\0", b"\x01", b"\x1f", b"\x7f", b"\xc3\xbc", b"\xff", b"\xef\xbb\xbf", b"aaaaaaaaaaaaaaa",
    b"aaaaaaaaaaaaaaaa", b"\xf0\x9f\x98\x80", b"//", b"'",
];

fn main() {
    let keys: Vec<String> = (0..70).map(|at| format!("\"k{at}\":{{\"k{at}\":[]}}")).collect();
    let seeds = [
        r#"{"a":[1,-2.5e3,true,null,{"b":"c"}],"metadata":{"labels":{"app.kubernetes.io/name":"web"}}}"#,
        r#"{"f:spec":{"f:containers":{"k:{\"name\":\"app\"}":{".":{},"f:image":{}}}}}"#,
        r#"["\"\\\/\b\f\n\r\t\u0041\ud83d\ude00ü", " ", "0123456789abcde", "0123456789abcdef", "0123456789abcde\n"]"#,
        r#"[[[[{"a":{"a":{"a":[[{}]]}}}]]]]"#,
        &format!("{{{}}}", keys.join(",")),
        &format!("{}{}", "[".repeat(124), "]".repeat(124)),
        "null",
    ];
    run("json", seeds.map(|seed| seed.as_bytes().to_vec()).into(), WORDS, target);
}

fn target(text: &[u8]) -> Outcome {
    let [start, end] = [&br#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"x","object":"#[..], b"}}"];
    let review = beside::judged(&[start, text, end].concat())?;
    let count = |byte| text.iter().filter(|at| **at == byte).count().min(4);
    Ok(format!("{review} {} {} {} {}", count(b'{'), count(b'"'), count(b'\\'), count(b'[')))
}
