//! A piece of a source → the objects in it.

use serde_json::Value as Json;

use super::source::{Content, Of, Piece, Place};
use crate::cli::review::read::{broken, unroll};
use crate::cli::yaml;
use portcullis_admission::ask::Document;
use portcullis_admission::ask::kinds::Resource;

/// Values of one YAML document; a `List` of ten thousand Pods has about this many.
const YAML_NODES_MAX: usize = 4_000_000;

/// An object, or why there is none.
pub type Read = Result<(Document, Option<Resource>), (Place, String)>;

/// Reads a piece. A broken object spoils no other.
pub fn objects(piece: Piece) -> Vec<Read> {
    let Piece { place, content } = piece;
    let failed = |line: usize, why: String| vec![Err((Place { line, ..place.clone() }, why))];
    match content {
        Content::Broken(why) => failed(place.line, why),
        Content::Json(text, of) => match serde_json::from_str::<Json>(&text) {
            Ok(value) => match of.as_deref() {
                // An item is an object, whatever it looks like: nothing in it is unrolled.
                Some(of) => vec![document(of_list(value, of), place, of.resource.clone())],
                None => unrolled(vec![value], &place, &[]),
            },
            Err(error) => {
                let why = error.to_string();
                let why = why.rsplit_once(" at line ").map_or(why.as_str(), |(before, _)| before);
                failed(place.line + error.line().saturating_sub(1), why.to_owned())
            }
        },
        Content::Yaml(text) => match yaml::documents(&text, &options()) {
            Ok(values) => unrolled(values, &place, &item_lines(&text)),
            Err(error) => {
                let within = error.location().map_or(1, |at| usize::try_from(at.line()).unwrap_or(1));
                failed(place.line + within.saturating_sub(1), sentence(&error))
            }
        },
    }
}

fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        with_snippet: false,
        legacy_octal_numbers: true, // as kubectl reads `defaultMode: 0644`
        budget: serde_saphyr::budget! {
            max_nodes: YAML_NODES_MAX,
            max_events: 3 * YAML_NODES_MAX,
        },
    }
}

/// The parser's sentence without the place, which we name ourselves, and without its advice to programmers.
fn sentence(error: &serde_saphyr::Error) -> String {
    let message = error.without_snippet().to_string();
    let line = message.lines().next().unwrap_or_default();
    let line = line.rsplit_once(" at line ").map_or(line, |(before, _)| before).trim_end_matches(':');
    line.split_once(", set DuplicateKeyPolicy").map_or(line, |(before, _)| before).to_owned()
}

fn of_list(mut value: Json, of: &Of) -> Json {
    if let Some(fields) = value.as_object_mut() {
        fields.entry("kind").or_insert_with(|| of.kind.as_str().into());
        fields.entry("apiVersion").or_insert_with(|| of.api_version.as_str().into());
    }
    value
}

fn unrolled(values: Vec<Json>, place: &Place, lines: &[usize]) -> Vec<Read> {
    let mut objects = Vec::new();
    values.into_iter().filter(|value| !value.is_null()).for_each(|value| unroll(value, &mut objects));
    let known = lines.len() == objects.len();
    let at = |index: usize| lines.get(index).filter(|_| known).map_or(place.line, |line| place.line + line);
    let placed = objects.into_iter().enumerate();
    placed.map(|(index, value)| document(value, Place { line: at(index), ..place.clone() }, None)).collect()
}

fn document(value: Json, place: Place, resource: Option<Resource>) -> Read {
    if let Some(why) = broken(&value) {
        return Err((place, why.to_owned()));
    }
    let source = place.source.to_string();
    Ok((Document { source, number: place.line, value, verbatim: None }, resource))
}

/// Where the items of a list begin, as kubectl writes one, counted from the first line. A guess from the indentation,
/// taken only where as many are found as there are items.
fn item_lines(text: &str) -> Vec<usize> {
    let mut lines = text.lines().enumerate().skip_while(|(_, line)| line.trim_end() != "items:").skip(1);
    let Some((first, line)) = lines.next() else { return Vec::new() };
    let indent = line.len() - line.trim_start_matches(' ').len();
    let dash = format!("{}- ", " ".repeat(indent));
    if !line.starts_with(&dash) {
        return Vec::new();
    }
    let more = lines.filter(|(_, line)| line.starts_with(&dash)).map(|(at, _)| at);
    std::iter::once(first).chain(more).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[(usize, &str)]) {
        let place = Place { source: Arc::from("x"), line: 10 };
        let found: Vec<(usize, String)> = objects(Piece { place, content: Content::Yaml(text.to_owned()) })
            .into_iter()
            .map(|read| match read {
                Ok((document, _)) => (document.number, document.text("/kind").to_owned()),
                Err((place, why)) => (place.line, why),
            })
            .collect();
        assert_eq!(found.iter().map(|(line, text)| (*line, text.as_str())).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn objects_with_their_lines() {
        check("apiVersion: v1\nkind: Pod\n", &[(10, "Pod")]);
        let list = "apiVersion: v1\nitems:\n- apiVersion: v1\n  kind: Pod\n- apiVersion: v1\n  kind: Secret\nkind: List\n";
        check(list, &[(12, "Pod"), (14, "Secret")]);
        check("apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: Pod}]\n", &[(10, "Pod")]);
        check(
            "apiVersion: v1\nitems:\n- apiVersion: v1\n  kind: Pod\n  a: \"one\n  two\"\n- apiVersion: v1\n  kind: Secret\nkind: List\n",
            &[(12, "Pod"), (16, "Secret")],
        );
        check("a: 1\n", &[(10, "no Kubernetes object; it needs `apiVersion` and `kind`")]);
    }

    #[test]
    fn what_is_broken_is_named_in_its_line() {
        let place = Place { source: Arc::from("x"), line: 10 };
        let read = objects(Piece { place, content: Content::Yaml("a: 1\nb: [\n".to_owned()) });
        assert!(matches!(read.as_slice(), [Err((place, _))] if place.line >= 11), "{read:?}");
    }
}
