//! The two passes over a body: envelope and request, field by field.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{Header, shorten};
use crate::admission::decode::{Build, Skip, interned};
use crate::policy::Value;
use crate::policy::engine::reads::Reads;
use crate::policy::select::Wanted;

/// How to read: what is wanted once the header is known, and whether objects may be built on the way.
#[derive(Clone, Copy)]
pub(super) struct Pass<'a> {
    pub(super) want: &'a dyn Fn(&Header) -> Arc<Wanted>,
    pub(super) stream: bool,
}

/// What stands at the top.
#[derive(Default)]
pub(super) struct Envelope {
    pub(super) api_version: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) request: Option<Request>,
    pub(super) late: bool,
    requested: bool,
}

/// A request as far as it was read; `late` says that a field came after it was needed.
#[derive(Default)]
pub(super) struct Request {
    pub(super) header: Header,
    pub(super) object: Option<Value>,
    pub(super) old_object: Option<Value>,
    pub(super) fields: Vec<(Value, Value)>,
    pub(super) built: Option<Arc<Wanted>>,
    late: bool,
}

/// Reads a whole body.
pub(super) struct EnvelopeSeed<'a> {
    pub(super) found: &'a mut Envelope,
    pub(super) pass: Pass<'a>,
}

impl<'de> DeserializeSeed<'de> for EnvelopeSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for EnvelopeSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an AdmissionReview object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        while let Some(key) = entries.next_key::<Cow<'de, str>>()? {
            let twice = match key.as_ref() {
                "apiVersion" => self.found.api_version.replace(entries.next_value()?).is_some(),
                "kind" => self.found.kind.replace(entries.next_value()?).is_some(),
                "request" => {
                    let request = entries.next_value_seed(RequestSeed(self.pass))?;
                    self.found.late |= request.as_ref().is_some_and(|request| request.late);
                    self.found.request = request;
                    std::mem::replace(&mut self.found.requested, true)
                }
                _ => {
                    entries.next_value_seed(Skip)?;
                    false
                }
            };
            if twice {
                return Err(A::Error::custom(format_args!("key `{key}` stands twice in one object")));
            }
        }
        Ok(())
    }
}

struct RequestSeed<'a>(Pass<'a>);

impl<'de> DeserializeSeed<'de> for RequestSeed<'_> {
    type Value = Option<Request>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for RequestSeed<'_> {
    type Value = Option<Request>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request of an AdmissionReview, an object")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut request = Request::default();
        let mut raws: Vec<(Cow<'de, str>, &'de RawValue)> = Vec::with_capacity(16);
        let mut wanted: Option<Arc<Wanted>> = None;
        let mut objects = [false; 2];
        while let Some(key) = entries.next_key::<Cow<'de, str>>()? {
            let which = match key.as_ref() {
                "object" => Some(0),
                "oldObject" => Some(1),
                _ => None,
            };
            let Some(which) = which.filter(|_| self.0.stream) else {
                request.late |= wanted.is_some() && is_header(&key);
                raws.push((key, entries.next_value()?));
                continue;
            };
            if wanted.is_none() {
                request.header = header(&raws)?;
                // Without these three the plan is not known yet, so this order is nobody's we know.
                request.late |=
                    request.header.operation.is_empty() || request.header.resource.resource.is_empty();
                wanted = Some((self.0.want)(&request.header));
            }
            let Some(wanted) = &wanted else { continue };
            let [object, old_object] = [&wanted.object, &wanted.old_object];
            let (slot, reads) = if which == 0 {
                (&mut request.object, object)
            } else {
                (&mut request.old_object, old_object)
            };
            if objects.get_mut(which).is_some_and(|seen| std::mem::replace(seen, true)) {
                return Err(A::Error::custom(format_args!("key `{key}` stands twice in one object")));
            }
            *slot = Some(entries.next_value_seed(Build(reads))?).filter(|value| *value != Value::Null);
        }
        if wanted.is_none() || request.late {
            request.header = header(&raws)?;
        } else if let Some((key, raw)) = raws.iter().find(|(key, _)| key == "dryRun") {
            // Go writes it behind the objects.
            request.header.dry_run = typed(key, raw.get())?;
        }
        let wanted = wanted.unwrap_or_else(|| (self.0.want)(&request.header));
        fields(&mut request, &raws, &wanted)?;
        request.built = Some(wanted);
        Ok(Some(request))
    }
}

const HEADER: [&str; 9] =
    ["uid", "kind", "resource", "subResource", "name", "namespace", "operation", "userInfo", "dryRun"];

fn is_header(key: &str) -> bool {
    // `dryRun` and `options` follow the objects in Go's order and decide nothing about the plan.
    HEADER.contains(&key) && key != "dryRun"
}

fn header<E: serde::de::Error>(raws: &[(Cow<'_, str>, &RawValue)]) -> Result<Header, E> {
    let mut header = Header::default();
    for (key, raw) in raws {
        let text = raw.get();
        match key.as_ref() {
            "uid" => header.uid = typed(key, text)?,
            "kind" => header.kind = typed(key, text)?,
            "resource" => header.resource = typed(key, text)?,
            "subResource" => header.subresource = typed(key, text)?,
            "name" => header.name = typed(key, text)?,
            "namespace" => header.namespace = typed(key, text)?,
            "operation" => header.operation = typed(key, text)?,
            "userInfo" => header.user = typed(key, text)?,
            "dryRun" => header.dry_run = typed(key, text)?,
            _ => {}
        }
    }
    Ok(header)
}

/// A field of the header; null counts as absent, as Go's decoder has it.
fn typed<T: Default + serde::de::DeserializeOwned, E: serde::de::Error>(
    key: &str,
    text: &str,
) -> Result<T, E> {
    // What is derived takes a list for the fields in their order; Go does not.
    if text.starts_with('[') {
        let message = format_args!("request.{key}: invalid type: sequence, expected an object or a string");
        return Err(E::custom(message));
    }
    let value: Option<T> =
        serde_json::from_str(text).map_err(|error| E::custom(format_args!("request.{key}: {error}")))?;
    Ok(value.unwrap_or_default())
}

/// The fields a policy reads, as sent; and the objects, where they were kept back for a second pass.
fn fields<E: serde::de::Error>(
    request: &mut Request,
    raws: &[(Cow<'_, str>, &RawValue)],
    wanted: &Wanted,
) -> Result<(), E> {
    for (at, (key, raw)) in raws.iter().enumerate() {
        if raws.iter().take(at).any(|(other, _)| other == key) {
            return Err(E::custom(format_args!("key `{}` stands twice in one object", shorten(key))));
        }
        let problem = |error: serde_json::Error| E::custom(format_args!("request.{}: {error}", shorten(key)));
        let build = |reads: &Reads| {
            Build(reads).deserialize(&mut serde_json::Deserializer::from_str(raw.get())).map_err(problem)
        };
        match key.as_ref() {
            "object" => request.object = Some(build(&wanted.object)?).filter(|value| *value != Value::Null),
            "oldObject" => {
                request.old_object = Some(build(&wanted.old_object)?).filter(|value| *value != Value::Null);
            }
            key => match wanted.request.key(key) {
                Some((known, reads)) if !reads.is_nothing() => {
                    let name = known.cloned().unwrap_or_else(|| interned(key));
                    request.fields.push((name, build(reads)?));
                }
                // What no law reads is passed over, and still may not hide a key twice: whether bytes are a review
                // must not hang on the law.
                _ => Skip.deserialize(&mut serde_json::Deserializer::from_str(raw.get())).map_err(problem)?,
            },
        }
    }
    Ok(())
}
