//! A body as the gate decodes it, beside what serde_json and a plain look at it make of the same bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use portcullis_admission::decode::DEPTH_MAX;
use portcullis_admission::review::{self, DecodeError, Gvk, Header, UserInfo};
use portcullis_admission::{Endpoint, Review};
use portcullis_policy::Value;
use portcullis_policy::select::Projection;
use serde_json::{Map, Value as Json};

use super::strict;

/// Whether a body is a review for both, and the same one; `Err` says what differs.
pub fn judged(body: &[u8]) -> Result<bool, String> {
    let decode = |wanted: Arc<Projection>| {
        review::decode(body.to_vec().into(), Endpoint::Validate, &|_| Arc::clone(&wanted))
    };
    let (whole, nothing) = (decode(Projection::everything()), decode(Arc::default()));
    let theirs =
        std::str::from_utf8(body).map_err(|_| ()).and_then(|text| strict::read(text).map_err(|_| ()));
    let expected = theirs.as_ref().ok().and_then(header);
    let ours = [&whole, &nothing].map(|review| review.as_ref().map(|review| &review.header));
    let of_text = |error: &DecodeError| matches!(error, DecodeError::Utf8(_) | DecodeError::Json(_));
    let agree = ours.iter().all(|ours| match (ours, &theirs) {
        (Ok(ours), _) => Some(*ours) == expected.as_ref(),
        // What stands in a review is looked at only where the text is good to its end.
        (Err(error), Err(())) => of_text(error),
        (Err(_), Ok(_)) => expected.is_none(),
    });
    if !agree {
        return Err(format!("ours {ours:?}\ntheirs {theirs:?}"));
    }
    let (Ok(whole), Ok(theirs)) = (whole, theirs) else { return Ok(false) };
    let theirs = cut(theirs, 0);
    same(&whole, &theirs["request"]).map(|()| true)
}

/// A document of which nothing stands deeper than the gate hands to a policy.
fn cut(json: Json, depth: u16) -> Json {
    match json {
        Json::Array(_) | Json::Object(_) if depth >= DEPTH_MAX => Json::Null,
        Json::Array(items) => items.into_iter().map(|item| cut(item, depth + 1)).collect(),
        Json::Object(fields) => fields.into_iter().map(|(key, value)| (key, cut(value, depth + 1))).collect(),
        other => other,
    }
}

fn same(ours: &Review, theirs: &Json) -> Result<(), String> {
    let mut theirs = theirs.as_object().cloned().unwrap_or_default();
    for (key, ours) in [("object", &ours.object), ("oldObject", &ours.old_object)] {
        let theirs = theirs.remove(key).filter(|value| !value.is_null());
        if *ours != theirs.as_ref().map(engine) {
            return Err(format!("{key}: ours {ours:?}\ntheirs {theirs:?}"));
        }
    }
    let fields: BTreeMap<Value, Value> = ours.fields.iter().cloned().collect();
    let same =
        ours.fields.len() == theirs.len() && Value::from(fields) == engine(&Json::Object(theirs.clone()));
    if same { Ok(()) } else { Err(format!("ours {:?}\ntheirs {theirs:?}", ours.fields)) }
}

/// The engine's value of a document, made without the gate's decoder.
pub fn engine(json: &Json) -> Value {
    match json {
        Json::Array(items) => Value::from(items.iter().map(engine).collect::<Vec<_>>()),
        Json::Object(fields) => {
            let entry = |(key, value): (&String, &Json)| (Value::from(key.as_str()), engine(value));
            Value::from(fields.iter().map(entry).collect::<BTreeMap<_, _>>())
        }
        other => Value::from(other.clone()),
    }
}

/// The header of a review; `None` where the document is none.
fn header(json: &Json) -> Option<Header> {
    let top = json.as_object()?;
    let request = top.get("request")?.as_object().filter(|request| request.len() <= 64)?;
    if top.get("apiVersion") != Some(&"admission.k8s.io/v1".into())
        || top.get("kind") != Some(&"AdmissionReview".into())
    {
        return None;
    }
    let (kind, resource) = (gvk(request.get("kind"))?, gvk(request.get("resource"))?);
    let header = Header {
        uid: text(request, "uid", true, 256)?,
        kind,
        resource,
        subresource: text(request, "subResource", true, 63)?,
        name: text(request, "name", true, 8192)?,
        namespace: text(request, "namespace", true, 8192)?,
        operation: text(request, "operation", true, 63)?,
        user: user(request.get("userInfo"))?,
        dry_run: match request.get("dryRun") {
            None | Some(Json::Null) => false,
            Some(value) => value.as_bool()?,
        },
    };
    (1..=256).contains(&header.uid.len()).then_some(header)
}

/// A string of at most `max` bytes, empty where it is absent or, if that may be, null.
fn text(object: &Map<String, Json>, key: &str, nullable: bool, max: usize) -> Option<String> {
    match object.get(key) {
        None => Some(String::new()),
        Some(Json::Null) if nullable => Some(String::new()),
        Some(value) => value.as_str().filter(|text| text.len() <= max).map(str::to_owned),
    }
}

fn object(value: Option<&Json>) -> Option<Map<String, Json>> {
    match value {
        None | Some(Json::Null) => Some(Map::new()),
        Some(value) => value.as_object().cloned(),
    }
}

fn gvk(value: Option<&Json>) -> Option<Gvk> {
    let parts = object(value)?;
    let part = |key, max| text(&parts, key, false, max);
    Some(Gvk {
        group: part("group", 253)?,
        version: part("version", 63)?,
        kind: part("kind", 63)?,
        resource: part("resource", 63)?,
    })
}

fn user(value: Option<&Json>) -> Option<UserInfo> {
    let user = object(value)?;
    let groups = match user.get("groups") {
        None | Some(Json::Null) => Vec::new(),
        Some(groups) => {
            let groups = groups.as_array().filter(|groups| groups.len() <= 5000)?;
            let group = |group: &Json| group.as_str().filter(|text| text.len() <= 8192).map(str::to_owned);
            groups.iter().map(group).collect::<Option<_>>()?
        }
    };
    Some(UserInfo { username: text(&user, "username", false, 8192)?, groups })
}
