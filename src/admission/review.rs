//! Decodes an AdmissionReview in one pass: the request's header, and the parts of its objects that policies read.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;

use super::decode::{decode as decode_value, interned};
use super::workload;
use portcullis_policy::select::Projection;
use portcullis_policy::{Operation, Plan, Query, Value};
use portcullis_rego::reads::Reads;
use portcullis_strict_json as json;
use portcullis_tenancy::snapshot::Kind as NamespaceKind;

pub use portcullis_telemetry::labels::Endpoint;

/// The length of a resource, subresource, version or kind (RFC 1123 and RFC 1035 labels).
const LABEL_MAX: usize = 63;

/// The length of a group, a DNS subdomain (RFC 1123).
const SUBDOMAIN_MAX: usize = 253;

/// The length of a name. For most kinds a name is a DNS subdomain; for others, such as Role, Kubernetes has no bound.
const NAME_MAX: usize = 8 << 10;

/// The length of a user or group name. Kubernetes has no bound; authenticators have shorter ones.
const USER_MAX: usize = 8 << 10;

/// The groups of a user. They come with a certificate, a token or headers of at most some 100 KiB.
const GROUPS_MAX: usize = 5000;

/// The uid is read up to this length and then rejected by its own bound of 256 bytes.
const UID_MAX: usize = 8 << 10;

/// The fields of a request; AdmissionReview v1 has 15.
const FIELDS_MAX: usize = 64;

/// A group, version and kind, or a group, version and resource.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gvk {
    /// Empty for the core group.
    pub group: String,
    pub version: String,
    /// Set in `request.kind`.
    pub kind: String,
    /// Plural; set in `request.resource`.
    pub resource: String,
}

/// The user, as authenticated or impersonated by the API server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserInfo {
    pub username: String,
    pub groups: Vec<String>,
}

/// The subresources of a Namespace that its policies cover.
pub const NAMESPACE_SUBRESOURCES: [&str; 2] = ["status", "finalize"];

/// The request without its objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Header {
    /// 1 to 256 bytes.
    pub uid: String,
    /// The kind of the objects.
    pub kind: Gvk,
    pub resource: Gvk,
    /// Empty for the object itself.
    pub subresource: String,
    /// Empty with `generateName` and in a collection delete.
    pub name: String,
    /// Empty for a cluster-scoped object.
    pub namespace: String,
    pub operation: String,
    pub user: UserInfo,
    pub dry_run: bool,
}

impl Header {
    /// The query for the policies that match in a namespace of this kind.
    pub fn query(&self, operation: Operation, kind: NamespaceKind) -> Query<'_> {
        Query {
            operation,
            group: &self.resource.group,
            resource: &self.resource.resource,
            subresource: &self.subresource,
            kind,
            layout: workload::layout(self),
        }
    }

    /// `None` for an unknown operation.
    pub fn operation(&self) -> Option<Operation> {
        Operation::parse(&self.operation)
    }

    pub fn is_namespace(&self) -> bool {
        self.resource.group.is_empty() && self.resource.resource == "namespaces"
    }

    /// Whether this is a subresource of a Namespace that no policy covers.
    pub fn is_unknown_namespace_subresource(&self) -> bool {
        self.is_namespace()
            && !self.subresource.is_empty()
            && !NAMESPACE_SUBRESOURCES.contains(&self.subresource.as_str())
    }

    pub fn is_secret(&self) -> bool {
        self.resource.group.is_empty() && self.resource.resource == "secrets"
    }
}

/// Why a body is not a valid AdmissionReview. Answered with HTTP 400, because a response needs the uid.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("the body is not UTF-8 at byte {0}")]
    Utf8(usize),
    /// Invalid or too deeply nested JSON, a duplicate key, a number out of range, or a field that is too long or has the
    /// wrong type.
    #[error("the body is not an AdmissionReview: {0}")]
    Json(#[from] json::Error),
    #[error("`{0}` is not supported; send `admission.k8s.io/v1`, kind `AdmissionReview`")]
    Version(String),
    #[error("`request` is missing")]
    NoRequest,
    #[error("`request.uid` is missing, empty or longer than 256 bytes")]
    NoUid,
}

/// A decoded review.
#[derive(Debug, Clone)]
pub struct Review {
    pub header: Header,
    pub endpoint: Endpoint,
    /// The decoded part of `request.object`; `None` where absent or null.
    pub object: Option<Value>,
    /// The decoded part of `request.oldObject`.
    pub old_object: Option<Value>,
    /// The decoded parts of the other fields of the request, by key.
    pub fields: Vec<(Value, Value)>,
    /// The body, to decode more of it later.
    pub body: Bytes,
    /// The parts that were decoded.
    pub projection: Arc<Projection>,
    /// The deepest nesting of the body; 0 where it is at most 127.
    pub depth: u16,
    /// A part that the projection names is nested too deep and null.
    pub cut: bool,
}

impl Review {
    /// Whether the parts that a plan reads were decoded.
    pub(crate) fn covers(&self, plan: &Plan) -> bool {
        let own = &self.projection;
        let everything =
            [&own.request, &own.object, &own.old_object].iter().all(|reads| reads.is_everything());
        everything || plan.projection.get().is_some_and(|projection| Arc::ptr_eq(projection, own))
    }

    /// The same review decoded as a whole.
    ///
    /// # Errors
    /// Those of [`decode`]; the body passed it before.
    pub fn whole(&self) -> Result<Self, DecodeError> {
        decode(self.body.clone(), self.endpoint, &|_| Projection::everything())
    }
}

/// Decodes a body. `project` chooses the projection once the header is decoded.
///
/// # Errors
/// See [`DecodeError`].
pub fn decode(
    body: Bytes,
    endpoint: Endpoint,
    project: &dyn Fn(&Header) -> Arc<Projection>,
) -> Result<Review, DecodeError> {
    let text = std::str::from_utf8(&body).map_err(|error| DecodeError::Utf8(error.valid_up_to()))?;
    let envelope = envelope(text, project)?;
    if envelope.api_version != "admission.k8s.io/v1" || envelope.kind != "AdmissionReview" {
        return Err(DecodeError::Version(shorten(&format!(
            "{}, kind {}",
            envelope.api_version, envelope.kind
        ))));
    }
    let Some(request) = envelope.request else { return Err(DecodeError::NoRequest) };
    if request.header.uid.is_empty() || request.header.uid.len() > 256 {
        return Err(DecodeError::NoUid);
    }
    let Request { header, object, old_object, fields, projection, cut } = request;
    let depth = envelope.depth;
    Ok(Review { header, endpoint, object, old_object, fields, body, projection, depth, cut })
}

fn shorten(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(100).collect()
}

/// Chooses the projection once the header is decoded.
type Project<'a> = &'a dyn Fn(&Header) -> Arc<Projection>;

#[derive(Default)]
struct Envelope {
    api_version: String,
    kind: String,
    request: Option<Request>,
    depth: u16,
}

#[derive(Default)]
struct Request {
    header: Header,
    object: Option<Value>,
    old_object: Option<Value>,
    fields: Vec<(Value, Value)>,
    projection: Arc<Projection>,
    cut: bool,
}

/// The offsets of values that are decoded once the header is known.
#[derive(Default)]
struct Offsets<'a> {
    object: Option<usize>,
    old_object: Option<usize>,
    fields: Vec<(Cow<'a, str>, usize)>,
}

fn envelope(text: &str, project: Project<'_>) -> Result<Envelope, json::Error> {
    let mut reader = json::Reader::new(text);
    if reader.kind()? != json::Kind::Object {
        return Err(reader.unexpected("an AdmissionReview object"));
    }
    let mut envelope = Envelope::default();
    reader.members(|reader, key| {
        match key.read().as_ref() {
            "apiVersion" => envelope.api_version = string(reader, SUBDOMAIN_MAX)?,
            "kind" => envelope.kind = string(reader, SUBDOMAIN_MAX)?,
            "request" => match reader.kind()? {
                json::Kind::Null => reader.null()?,
                json::Kind::Object => envelope.request = Some(request(reader, project)?),
                _ => return Err(reader.unexpected("the request of an AdmissionReview, an object")),
            },
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    reader.end()?;
    envelope.depth = reader.deepest();
    Ok(envelope)
}

fn request(reader: &mut json::Reader<'_>, project: Project<'_>) -> Result<Request, json::Error> {
    let mut request = Request::default();
    let mut offsets = Offsets::default();
    let mut projection: Option<Arc<Projection>> = None;
    // kube-apiserver writes the header before the objects. For another order, the objects are read again at the end.
    let mut late = false;
    reader.members(|reader, key| {
        let key = key.read();
        let offset = reader.offset()?;
        let slot = match key.as_ref() {
            "object" => &mut offsets.object,
            "oldObject" => &mut offsets.old_object,
            _ => {
                late |= field(reader, &key, &mut request.header)? && projection.is_some();
                offsets.fields.push((key, offset));
                if offsets.fields.len() > FIELDS_MAX {
                    return Err(reader.refuse(&format!("request: more than {FIELDS_MAX} fields")));
                }
                return Ok(());
            }
        };
        *slot = Some(offset);
        let header = &request.header;
        // The projection depends on these two.
        late |= header.operation.is_empty() || header.resource.resource.is_empty();
        if late {
            return reader.skip();
        }
        let projection = projection.get_or_insert_with(|| project(header));
        if key == "object" {
            request.object = object(reader, &projection.object, &mut request.cut)?;
        } else {
            request.old_object = object(reader, &projection.old_object, &mut request.cut)?;
        }
        Ok(())
    })?;
    request.projection = if let Some(projection) = projection.filter(|_| !late) {
        projection
    } else {
        let projection = project(&request.header);
        request.cut = false;
        let mut read = |offset: Option<usize>, reads| {
            let cut = &mut request.cut;
            offset.map_or(Ok(None), |offset| reader.read_at(offset, |reader| object(reader, reads, cut)))
        };
        let object = read(offsets.object, &projection.object)?;
        let old_object = read(offsets.old_object, &projection.old_object)?;
        (request.object, request.old_object) = (object, old_object);
        projection
    };
    for (key, offset) in offsets.fields {
        if let Some((known, reads)) =
            request.projection.request.key(&key).filter(|(_, reads)| !reads.is_nothing())
        {
            let name = known.cloned().unwrap_or_else(|| interned(&key));
            let decoded = reader.read_at(offset, |reader| decode_value(reader, reads))?;
            request.cut |= decoded.cut;
            request.fields.push((name, decoded.value));
        }
    }
    Ok(request)
}

/// Decodes an object; null counts as absent.
fn object(
    reader: &mut json::Reader<'_>,
    reads: &Reads,
    cut: &mut bool,
) -> Result<Option<Value>, json::Error> {
    let decoded = decode_value(reader, reads)?;
    *cut |= decoded.cut;
    Ok(Some(decoded.value).filter(|value| *value != Value::Null))
}

/// Reads a field into the header or skips it. Returns whether the projection may depend on it.
fn field(reader: &mut json::Reader<'_>, key: &str, header: &mut Header) -> Result<bool, json::Error> {
    let read = match key {
        // Its length is checked later, with the other errors that prevent a response.
        "uid" => string_or_null(reader, UID_MAX).map(|value| header.uid = value),
        "kind" => gvk(reader).map(|value| header.kind = value),
        "resource" => gvk(reader).map(|value| header.resource = value),
        "subResource" => string_or_null(reader, LABEL_MAX).map(|value| header.subresource = value),
        "name" => string_or_null(reader, NAME_MAX).map(|value| header.name = value),
        "namespace" => string_or_null(reader, NAME_MAX).map(|value| header.namespace = value),
        "operation" => string_or_null(reader, LABEL_MAX).map(|value| header.operation = value),
        "userInfo" => user(reader).map(|value| header.user = value),
        // kube-apiserver writes it after the objects.
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

fn gvk(reader: &mut json::Reader<'_>) -> Result<Gvk, json::Error> {
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

fn user(reader: &mut json::Reader<'_>) -> Result<UserInfo, json::Error> {
    let mut user = UserInfo::default();
    members_or_null(reader, |reader, key| {
        match key {
            "username" => user.username = string(reader, USER_MAX)?,
            "groups" => match reader.kind()? {
                json::Kind::Null => reader.null()?,
                json::Kind::List => reader.elements(|reader| {
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

/// Reads the members of an object; null counts as absent, as in Go's decoder.
fn members_or_null<'a>(
    reader: &mut json::Reader<'a>,
    mut member: impl FnMut(&mut json::Reader<'a>, &str) -> Result<(), json::Error>,
) -> Result<(), json::Error> {
    match reader.kind()? {
        json::Kind::Null => reader.null(),
        json::Kind::Object => reader.members(|reader, key| member(reader, &key.read())),
        _ => Err(reader.unexpected("an object")),
    }
}

fn string_or_null(reader: &mut json::Reader<'_>, max: usize) -> Result<String, json::Error> {
    match reader.kind()? {
        json::Kind::Null => reader.null().map(|()| String::new()),
        _ => string(reader, max),
    }
}

fn boolean_or_null(reader: &mut json::Reader<'_>) -> Result<bool, json::Error> {
    match reader.kind()? {
        json::Kind::Null => reader.null().map(|()| false),
        json::Kind::Bool => reader.boolean(),
        _ => Err(reader.unexpected("a boolean")),
    }
}

/// A string of at most `max` bytes.
fn string(reader: &mut json::Reader<'_>, max: usize) -> Result<String, json::Error> {
    match reader.kind()? {
        json::Kind::Text => {
            let text = reader.text()?.read();
            if text.len() > max {
                return Err(reader.refuse(&format!("{} bytes, and at most {max} are allowed", text.len())));
            }
            Ok(text.into_owned())
        }
        _ => Err(reader.unexpected("a string")),
    }
}
