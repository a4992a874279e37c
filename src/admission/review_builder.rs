//! Builds the AdmissionReview that kube-apiserver would send for an object.

use bytes::Bytes;
use serde_json::{Map, Value as Json, json};

use super::cases::User;
use super::kinds::{self, Resource};
use portcullis_policy::Operation;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReviewBuilderError {
    #[error("{0}: an UPDATE needs the existing object; pass it with --old FILE")]
    NoOldObject(String),
    #[error(
        "{document}: the object is in namespace `{own}`, but --namespace is `{flag}`; kubectl rejects that too"
    )]
    Namespace { document: String, own: String, flag: String },
}

/// One object or AdmissionReview of a file.
#[derive(Debug, Clone)]
pub struct Document {
    /// The file name; `-` for standard input.
    pub source: String,
    /// Its number in the file, from 1; items of a List count.
    pub number: usize,
    pub value: Json,
    /// The unparsed bytes of a JSON AdmissionReview: only the gate decides what a duplicate key means.
    pub verbatim: Option<Bytes>,
}

impl Document {
    pub fn is_review(&self) -> bool {
        self.value.get("kind").and_then(Json::as_str) == Some("AdmissionReview")
    }

    /// The string at a JSON pointer, or an empty one.
    pub fn text(&self, pointer: &str) -> &str {
        self.value.pointer(pointer).and_then(Json::as_str).unwrap_or_default()
    }

    /// File and number, for messages.
    pub fn location(&self) -> String {
        format!("`{}` document {}", self.source, self.number)
    }
}

/// What the caller sets for every request.
#[derive(Debug, Clone, Default)]
pub struct RequestOptions {
    /// The default is CONNECT for options of a CONNECT, UPDATE for an object in `old`, else CREATE.
    pub operation: Option<Operation>,
    /// The default follows from the kind.
    pub resource: Option<Resource>,
    /// The namespace of objects that name none.
    pub namespace: Option<String>,
    /// The existing objects.
    pub old: Vec<Document>,
}

/// A request that lacks only its user.
#[derive(Debug, Clone)]
pub struct ReviewBuilder {
    pub operation: Operation,
    pub resource: Resource,
    /// Empty for a cluster-scoped object.
    pub namespace: String,
    /// Empty with `generateName`.
    pub name: String,
    /// Assumptions to show to the user.
    pub assumed: Vec<String>,
    kind: Json,
    object: Json,
    old_object: Json,
}

impl ReviewBuilder {
    /// # Errors
    /// An UPDATE of an object that `--old` lacks, or a namespace that contradicts `--namespace`.
    pub fn new(document: &Document, request: &RequestOptions) -> Result<Self, ReviewBuilderError> {
        let kind = document.text("/kind");
        let (group, version) = split(document.text("/apiVersion"));
        let resource = request.resource.clone().unwrap_or_else(|| kinds::resource(group, kind));
        let mut assumed = Vec::new();
        if resource.guessed {
            let guess = notation(&resource);
            assumed.push(format!(
                "kind {kind} of group `{group}` is not a built-in kind; its resource is assumed to be `{guess}` (set --resource to change it)"
            ));
        }
        let namespace = namespace(document, request, &resource, &mut assumed)?;
        let old = request.old.iter().find(|old| is_old_object(old, document, &namespace));
        let mut old = old.map(|old| old.value.clone());
        let options = kinds::options(&resource).filter(|(_, options, _)| *options != kind);
        let connects = matches!(resource.subresource.as_str(), "exec" | "attach" | "portforward" | "proxy");
        let operation = request.operation.unwrap_or(match (connects, &old) {
            (true, _) => Operation::Connect,
            (false, Some(_)) => Operation::Update,
            (false, None) => Operation::Create,
        });
        let mut object = document.value.clone();
        let mut gvk = json!({"group": group, "version": version, "kind": kind});
        if let Some((group, kind, version)) = options {
            gvk = json!({"group": group, "version": version, "kind": kind});
            object = subresource_body(group, kind, version, document, &namespace);
            old = None;
        }
        complete(&mut object, &namespace, operation);
        if operation == Operation::Update && old.is_none() {
            return Err(ReviewBuilderError::NoOldObject(document.location()));
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

    /// The AdmissionReview of a user's request, with a new uid.
    pub fn build(&self, user: &User) -> Json {
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
        put("userInfo", json!({"username": user.username, "groups": user.groups}));
        put("object", self.object.clone());
        put("oldObject", self.old_object.clone());
        put("dryRun", false.into());
        put("options", options(self.operation));
        json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request})
    }
}

/// A resource in kubectl notation: `deployments.apps/scale`.
pub fn notation(resource: &Resource) -> String {
    let group = if resource.group.is_empty() { String::new() } else { format!(".{}", resource.group) };
    let subresource =
        if resource.subresource.is_empty() { String::new() } else { format!("/{}", resource.subresource) };
    format!("{}{group}{subresource}", resource.resource)
}

fn split(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

/// The request's namespace. For a Namespace that is its own name.
fn namespace(
    document: &Document,
    request: &RequestOptions,
    resource: &Resource,
    assumed: &mut Vec<String>,
) -> Result<String, ReviewBuilderError> {
    if resource.resource == "namespaces" && resource.group.is_empty() {
        return Ok(document.text("/metadata/name").to_owned());
    }
    let own = document.text("/metadata/namespace");
    let flag = request.namespace.as_deref().unwrap_or_default();
    match (own, flag, resource.namespaced) {
        (_, _, Some(false)) | ("", "", None) => Ok(String::new()),
        ("", "", Some(true)) => {
            assumed.push("the object names no namespace and --namespace is not set; `default` is assumed, as kubectl does".to_owned());
            Ok("default".to_owned())
        }
        ("", flag, _) => Ok(flag.to_owned()),
        (own, "", _) => Ok(own.to_owned()),
        (own, flag, _) if own == flag => Ok(own.to_owned()),
        (own, flag, _) => Err(ReviewBuilderError::Namespace {
            document: document.location(),
            own: own.to_owned(),
            flag: flag.to_owned(),
        }),
    }
}

fn is_old_object(old: &Document, new: &Document, namespace: &str) -> bool {
    let group = |document: &Document| split(document.text("/apiVersion")).0.to_owned();
    let old_namespace = old.text("/metadata/namespace");
    old.text("/kind") == new.text("/kind")
        && group(old) == group(new)
        && old.text("/metadata/name") == new.text("/metadata/name")
        && (old_namespace.is_empty() || old_namespace == namespace)
}

/// The body that a subresource takes, derived from its parent object.
fn subresource_body(group: &str, kind: &str, version: &str, document: &Document, namespace: &str) -> Json {
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

/// Sets what the API server sets before admission: the namespace, and on CREATE the uid and the creation time.
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
