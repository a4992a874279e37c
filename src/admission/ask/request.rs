//! An object → the AdmissionReview that kube-apiserver would send for it.

use serde_json::{Map, Value as Json, json};

use super::kinds::{self, Resource};
use super::{AskError, Document};
use crate::cases::Person;
use portcullis_policy::Operation;

/// What the caller says of every request.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The operation; without it CREATE, UPDATE for what `--old` knows, CONNECT for options of a CONNECT.
    pub operation: Option<Operation>,
    /// The resource, where the kind does not say it.
    pub resource: Option<Resource>,
    /// The namespace of objects that name none.
    pub namespace: Option<String>,
    /// What is there already.
    pub old: Vec<Document>,
}

/// A request without who asks.
#[derive(Debug, Clone)]
pub struct Request {
    /// What is done.
    pub operation: Operation,
    /// To what.
    pub resource: Resource,
    /// Where; empty for what has no namespace.
    pub namespace: String,
    /// Object name; empty with `generateName`.
    pub name: String,
    /// What was assumed, for notes.
    pub assumed: Vec<String>,
    kind: Json,
    object: Json,
    old_object: Json,
}

impl Request {
    /// Plans the request for a document.
    ///
    /// # Errors
    /// An UPDATE of something that `--old` does not hold, a namespace that contradicts `--namespace`.
    pub fn of(document: &Document, wanted: &Wanted) -> Result<Self, AskError> {
        let kind = document.text("/kind");
        let (group, version) = split(document.text("/apiVersion"));
        let resource = wanted.resource.clone().unwrap_or_else(|| kinds::resource(group, kind));
        let mut assumed = Vec::new();
        if resource.guessed {
            assumed.push(format!("kind {kind} of `{group}` is none we know; its resource is taken to be `{}` (--resource says otherwise)", notation(&resource)));
        }
        let namespace = namespace(document, wanted, &resource, &mut assumed)?;
        let mut old =
            wanted.old.iter().find(|old| same(old, document, &namespace)).map(|old| old.value.clone());
        let options = kinds::options(&resource).filter(|(_, options, _)| *options != kind);
        let connects = matches!(resource.subresource.as_str(), "exec" | "attach" | "portforward" | "proxy");
        let operation = wanted.operation.unwrap_or(match (connects, &old) {
            (true, _) => Operation::Connect,
            (false, Some(_)) => Operation::Update,
            (false, None) => Operation::Create,
        });
        let mut object = document.value.clone();
        let mut gvk = json!({"group": group, "version": version, "kind": kind});
        if let Some((group, kind, version)) = options {
            gvk = json!({"group": group, "version": version, "kind": kind});
            object = stand_in(group, kind, version, document, &namespace);
            old = None;
        }
        complete(&mut object, &namespace, operation);
        if operation == Operation::Update && old.is_none() {
            return Err(AskError::NoOld(document.place()));
        }
        if let Some(old) = &mut old {
            complete(old, &namespace, operation);
        }
        let (object, old_object) = match operation {
            Operation::Delete => (Json::Null, old.unwrap_or(object)),
            Operation::Connect | Operation::Create => (object, Json::Null),
            Operation::Update => (object, old.unwrap_or_default()),
        };
        let name = document.text("/metadata/name").to_owned();
        Ok(Self { operation, resource, namespace, name, assumed, kind: gvk, object, old_object })
    }

    /// The AdmissionReview, with a uid of its own.
    pub fn review(&self, person: &Person) -> Json {
        let group = &self.resource.group;
        let field = |name: &str| self.kind.get(name).and_then(Json::as_str).unwrap_or_default();
        let version = if field("group") == group { field("version") } else { "v1" };
        let resource = json!({"group": group, "version": version, "resource": self.resource.resource});
        let mut request = Map::new();
        let mut put = |key: &str, value: Json| {
            if !matches!(&value, Json::String(text) if text.is_empty()) {
                request.insert(key.to_owned(), value);
            }
        };
        put("uid", uuid::Uuid::now_v7().to_string().into());
        put("kind", self.kind.clone());
        put("resource", resource.clone());
        put("subResource", self.resource.subresource.as_str().into());
        put("requestKind", self.kind.clone());
        put("requestResource", resource);
        put("requestSubResource", self.resource.subresource.as_str().into());
        put("name", self.name.as_str().into());
        put("namespace", self.namespace.as_str().into());
        put("operation", self.operation.as_str().into());
        put("userInfo", json!({"username": person.username, "groups": person.groups}));
        put("object", self.object.clone());
        put("oldObject", self.old_object.clone());
        put("dryRun", false.into());
        put("options", options(self.operation));
        json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request})
    }
}

/// `deployments.apps/scale`
pub fn notation(resource: &Resource) -> String {
    let group = if resource.group.is_empty() { String::new() } else { format!(".{}", resource.group) };
    let subresource =
        if resource.subresource.is_empty() { String::new() } else { format!("/{}", resource.subresource) };
    format!("{}{group}{subresource}", resource.resource)
}

fn split(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

/// Where the request goes. A Namespace is in itself.
fn namespace(
    document: &Document,
    wanted: &Wanted,
    resource: &Resource,
    assumed: &mut Vec<String>,
) -> Result<String, AskError> {
    if resource.resource == "namespaces" && resource.group.is_empty() {
        return Ok(document.text("/metadata/name").to_owned());
    }
    let own = document.text("/metadata/namespace");
    let flag = wanted.namespace.as_deref().unwrap_or_default();
    match (own, flag, resource.namespaced) {
        (_, _, Some(false)) | ("", "", None) => Ok(String::new()),
        ("", "", Some(true)) => {
            assumed.push("no namespace in the object and no --namespace: it goes to `default`, as kubectl would have it".to_owned());
            Ok("default".to_owned())
        }
        ("", flag, _) => Ok(flag.to_owned()),
        (own, "", _) => Ok(own.to_owned()),
        (own, flag, _) if own == flag => Ok(own.to_owned()),
        (own, asked, _) => Err(AskError::Namespace {
            document: document.place(),
            own: own.to_owned(),
            asked: asked.to_owned(),
        }),
    }
}

fn same(old: &Document, new: &Document, namespace: &str) -> bool {
    let group = |document: &Document| split(document.text("/apiVersion")).0.to_owned();
    let place = old.text("/metadata/namespace");
    old.text("/kind") == new.text("/kind")
        && group(old) == group(new)
        && old.text("/metadata/name") == new.text("/metadata/name")
        && (place.is_empty() || place == namespace)
}

/// What a subresource takes, made from the object that it belongs to.
fn stand_in(group: &str, kind: &str, version: &str, document: &Document, namespace: &str) -> Json {
    let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let metadata = json!({"name": document.text("/metadata/name"), "namespace": namespace});
    let container = document.text("/spec/containers/0/name");
    match kind {
        "PodExecOptions" => {
            json!({"apiVersion": api_version, "kind": kind, "stdin": true, "stdout": true, "tty": true, "container": container, "command": ["sh"]})
        }
        "PodAttachOptions" => {
            json!({"apiVersion": api_version, "kind": kind, "stdin": true, "stdout": true, "container": container})
        }
        "PodPortForwardOptions" | "PodProxyOptions" | "ServiceProxyOptions" | "NodeProxyOptions" => {
            json!({"apiVersion": api_version, "kind": kind})
        }
        "Scale" => {
            let replicas = document.value.pointer("/spec/replicas").cloned().unwrap_or_else(|| 1.into());
            json!({"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": {"replicas": replicas}})
        }
        _ => json!({"apiVersion": api_version, "kind": kind, "metadata": metadata}),
    }
}

/// What the API server fills in before it asks: the namespace, and on CREATE the uid and the time.
fn complete(object: &mut Json, namespace: &str, operation: Operation) {
    let kind = object.get("kind").and_then(Json::as_str).unwrap_or_default();
    let virtual_kind = kind.ends_with("Options");
    let is_namespace = kind == "Namespace" && object.get("apiVersion").and_then(Json::as_str) == Some("v1");
    let Some(fields) = object.as_object_mut().filter(|_| !virtual_kind) else { return };
    let metadata = fields.entry("metadata").or_insert_with(|| json!({}));
    let Some(metadata) = metadata.as_object_mut() else { return };
    if !namespace.is_empty() && !is_namespace {
        metadata.entry("namespace").or_insert_with(|| namespace.into());
    }
    if operation == Operation::Create {
        metadata.entry("uid").or_insert_with(|| uuid::Uuid::now_v7().to_string().into());
        metadata
            .entry("creationTimestamp")
            .or_insert_with(|| format!("{:.0}", jiff::Timestamp::now()).into());
    }
}

fn options(operation: Operation) -> Json {
    let kind = match operation {
        Operation::Create => "CreateOptions",
        Operation::Update => "UpdateOptions",
        Operation::Delete => "DeleteOptions",
        Operation::Connect => return Json::Null,
    };
    let manager =
        if operation == Operation::Delete { Json::Null } else { "kubectl-client-side-apply".into() };
    let mut options = json!({"kind": kind, "apiVersion": "meta.k8s.io/v1"});
    if let (Some(fields), false) = (options.as_object_mut(), manager.is_null()) {
        fields.insert("fieldManager".to_owned(), manager);
    }
    options
}
