//! One pass over a body: envelope and request, field by field.

use std::borrow::Cow;
use std::sync::Arc;

use super::{Gvk, Header, UserInfo, shorten};
use crate::decode::{build, interned};
use portcullis_policy::Value;
use portcullis_policy::select::Wanted;
use portcullis_rego::reads::Reads;
use portcullis_strict_json::{Error, Kind, Reader};

/// A label, a resource, a subresource, a version, a kind (RFC 1123, RFC 1035; `apimachinery`'s validation).
const LABEL_MAX: usize = 63;

/// A group is a DNS subdomain (RFC 1123).
const SUBDOMAIN_MAX: usize = 253;

/// A name is a subdomain for most kinds, and for some (Role, for one) a segment of a path, for which Kubernetes has no
/// bound. A namespace has at most 63, and what is longer is denied by name.
const NAME_MAX: usize = 8 << 10;

/// A user or a group: Kubernetes has no bound, and authenticators none that is longer.
const USER_MAX: usize = 8 << 10;

/// Groups of a user. An API server gets them with a certificate, a token or headers, each of some 10 to 100 KiB.
const GROUPS_MAX: usize = 5000;

/// Read whole to be refused for its length in bytes; a uid that is sent back has at most 256.
const UID_MAX: usize = 8 << 10;

/// Fields of a request; AdmissionReview v1 has 15.
const FIELDS_MAX: usize = 64;

/// What is wanted, once the header is known.
pub(super) type Want<'a> = &'a dyn Fn(&Header) -> Arc<Wanted>;

/// What stands at the top.
#[derive(Default)]
pub(super) struct Envelope {
    pub(super) api_version: String,
    pub(super) kind: String,
    pub(super) request: Option<Request>,
    pub(super) depth: u16,
}

/// A request as far as it was wanted.
#[derive(Default)]
pub(super) struct Request {
    pub(super) header: Header,
    pub(super) object: Option<Value>,
    pub(super) old_object: Option<Value>,
    pub(super) fields: Vec<(Value, Value)>,
    pub(super) built: Arc<Wanted>,
    pub(super) cut: bool,
}

/// Where things stand that can be read only when the header is known.
#[derive(Default)]
struct Places<'a> {
    object: Option<usize>,
    old_object: Option<usize>,
    fields: Vec<(Cow<'a, str>, usize)>,
}

/// Reads a whole body.
pub(super) fn envelope(text: &str, want: Want<'_>) -> Result<Envelope, Error> {
    let mut reader = Reader::new(text);
    if reader.kind()? != Kind::Object {
        return Err(reader.unexpected("an AdmissionReview object"));
    }
    let mut found = Envelope::default();
    reader.members(|reader, key| {
        match key.read().as_ref() {
            "apiVersion" => found.api_version = string(reader, SUBDOMAIN_MAX)?,
            "kind" => found.kind = string(reader, SUBDOMAIN_MAX)?,
            "request" => match reader.kind()? {
                Kind::Null => reader.null()?,
                Kind::Object => found.request = Some(request(reader, want)?),
                _ => return Err(reader.unexpected("the request of an AdmissionReview, an object")),
            },
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    reader.end()?;
    found.depth = reader.deepest();
    Ok(found)
}

fn request(reader: &mut Reader<'_>, want: Want<'_>) -> Result<Request, Error> {
    let mut request = Request::default();
    let mut places = Places::default();
    let mut wanted: Option<Arc<Wanted>> = None;
    // Go writes the header before the objects. From whoever does not, the objects are read again at the end.
    let mut late = false;
    reader.members(|reader, key| {
        let key = key.read();
        let place = reader.place()?;
        let slot = match key.as_ref() {
            "object" => &mut places.object,
            "oldObject" => &mut places.old_object,
            _ => {
                late |= field(reader, &key, &mut request.header)? && wanted.is_some();
                places.fields.push((key, place));
                if places.fields.len() > FIELDS_MAX {
                    return Err(reader.refuse(&format!("request: more than {FIELDS_MAX} fields")));
                }
                return Ok(());
            }
        };
        *slot = Some(place);
        let header = &request.header;
        // Without these two nothing can be wanted yet.
        late |= header.operation.is_empty() || header.resource.resource.is_empty();
        if late {
            return reader.skip();
        }
        let wanted = wanted.get_or_insert_with(|| want(header));
        if key == "object" {
            request.object = object(reader, &wanted.object, &mut request.cut)?;
        } else {
            request.old_object = object(reader, &wanted.old_object, &mut request.cut)?;
        }
        Ok(())
    })?;
    request.built = if let Some(wanted) = wanted.filter(|_| !late) {
        wanted
    } else {
        let wanted = want(&request.header);
        request.cut = false;
        let mut read = |place: Option<usize>, reads| {
            let cut = &mut request.cut;
            place.map_or(Ok(None), |place| reader.again(place, |reader| object(reader, reads, cut)))
        };
        let object = read(places.object, &wanted.object)?;
        let old_object = read(places.old_object, &wanted.old_object)?;
        (request.object, request.old_object) = (object, old_object);
        wanted
    };
    for (key, place) in places.fields {
        if let Some((known, reads)) = request.built.request.key(&key).filter(|(_, reads)| !reads.is_nothing())
        {
            let name = known.cloned().unwrap_or_else(|| interned(&key));
            let built = reader.again(place, |reader| build(reader, reads))?;
            request.cut |= built.cut;
            request.fields.push((name, built.value));
        }
    }
    Ok(request)
}

/// An object; null is none.
fn object(reader: &mut Reader<'_>, reads: &Reads, cut: &mut bool) -> Result<Option<Value>, Error> {
    let built = build(reader, reads)?;
    *cut |= built.cut;
    Ok(Some(built.value).filter(|value| *value != Value::Null))
}

/// Reads a field that is no object into the header, or passes it; whether the plan may hang on it.
fn field(reader: &mut Reader<'_>, key: &str, header: &mut Header) -> Result<bool, Error> {
    let read = match key {
        // Its length is looked at with what else makes an answer impossible.
        "uid" => string_or_null(reader, UID_MAX).map(|value| header.uid = value),
        "kind" => gvk(reader).map(|value| header.kind = value),
        "resource" => gvk(reader).map(|value| header.resource = value),
        "subResource" => string_or_null(reader, LABEL_MAX).map(|value| header.subresource = value),
        "name" => string_or_null(reader, NAME_MAX).map(|value| header.name = value),
        "namespace" => string_or_null(reader, NAME_MAX).map(|value| header.namespace = value),
        "operation" => string_or_null(reader, LABEL_MAX).map(|value| header.operation = value),
        "userInfo" => user(reader).map(|value| header.user = value),
        // Go writes it behind the objects.
        "dryRun" => {
            header.dry_run = boolean_or_null(reader).map_err(|error| error.within(&part(key)))?;
            return Ok(false);
        }
        _ => return reader.skip().map(|()| false).map_err(|error| error.within(&part(key))),
    };
    read.map(|()| true).map_err(|error| error.within(&part(key)))
}

fn part(key: &str) -> String {
    format!("request.{}", shorten(key))
}

fn gvk(reader: &mut Reader<'_>) -> Result<Gvk, Error> {
    let mut gvk = Gvk::default();
    members_or_null(reader, |reader, key| {
        match key {
            "group" => gvk.group = string(reader, SUBDOMAIN_MAX)?,
            "version" => gvk.version = string(reader, LABEL_MAX)?,
            "kind" => gvk.kind = string(reader, LABEL_MAX)?,
            "resource" => gvk.resource = string(reader, LABEL_MAX)?,
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    Ok(gvk)
}

fn user(reader: &mut Reader<'_>) -> Result<UserInfo, Error> {
    let mut user = UserInfo::default();
    members_or_null(reader, |reader, key| {
        match key {
            "username" => user.username = string(reader, USER_MAX)?,
            "groups" => match reader.kind()? {
                Kind::Null => reader.null()?,
                Kind::List => reader.elements(|reader| {
                    user.groups.push(string(reader, USER_MAX)?);
                    if user.groups.len() > GROUPS_MAX {
                        return Err(reader.refuse(&format!("more than {GROUPS_MAX} groups")));
                    }
                    Ok(())
                })?,
                _ => return Err(reader.unexpected("a list of strings")),
            },
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    Ok(user)
}

/// The members of an object; null counts as absent, as Go's decoder has it.
fn members_or_null<'a>(
    reader: &mut Reader<'a>,
    mut member: impl FnMut(&mut Reader<'a>, &str) -> Result<(), Error>,
) -> Result<(), Error> {
    match reader.kind()? {
        Kind::Null => reader.null(),
        Kind::Object => reader.members(|reader, key| member(reader, &key.read())),
        _ => Err(reader.unexpected("an object")),
    }
}

fn string_or_null(reader: &mut Reader<'_>, max: usize) -> Result<String, Error> {
    match reader.kind()? {
        Kind::Null => reader.null().map(|()| String::new()),
        _ => string(reader, max),
    }
}

fn boolean_or_null(reader: &mut Reader<'_>) -> Result<bool, Error> {
    match reader.kind()? {
        Kind::Null => reader.null().map(|()| false),
        Kind::Bool => reader.boolean(),
        _ => Err(reader.unexpected("a boolean")),
    }
}

/// A string of at most `max` bytes.
fn string(reader: &mut Reader<'_>, max: usize) -> Result<String, Error> {
    match reader.kind()? {
        Kind::Text => {
            let text = reader.text()?.read();
            if text.len() > max {
                return Err(reader.refuse(&format!("{} bytes, and at most {max} are allowed", text.len())));
            }
            Ok(text.into_owned())
        }
        _ => Err(reader.unexpected("a string")),
    }
}
