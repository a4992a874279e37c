//! Reviews as Go writes them, and a connection of one's own that sends exactly what it is told to.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use portcullis_admission::cases::Answer;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value as Json;

use super::Gate;

/// Long enough for a loaded machine; it only ends a test that hangs.
pub const PATIENCE: Duration = Duration::from_mins(1);

pub const SANDBOX: &str = "tn-acme-shop-sbx-001";
pub const APP: &str = "tn-acme-shop-app-frontend";
pub const GLOBEX: &str = "tn-globex-web-sbx-001";
pub const GOOD: &str = "registry.example.com/tenants/acme/web:1.4.2";
pub const EVIL: &str = "evil.io/web:1";
pub const ALICE: &str =
    r#"{"username":"alice@acme.io","groups":["acme-devs","projectcapsule.dev","system:authenticated"]}"#;

/// A review, part by part; what is left alone is alice creating a Pod in her sandbox.
#[derive(Clone)]
pub struct Ask {
    pub uid: String,
    /// Group, version, kind, plural, subresource.
    pub what: [&'static str; 5],
    pub name: String,
    pub namespace: String,
    pub operation: &'static str,
    pub user: &'static str,
    pub object: String,
    pub old_object: String,
    pub dry_run: bool,
}

impl Default for Ask {
    fn default() -> Self {
        Self {
            uid: "705ab4f5-6393-11e8-b7cc-42010a800002".into(),
            what: ["", "v1", "Pod", "pods", ""],
            name: "web".into(),
            namespace: SANDBOX.into(),
            operation: "CREATE",
            user: ALICE,
            object: pod(GOOD),
            old_object: "null".into(),
            dry_run: false,
        }
    }
}

impl Ask {
    pub fn pod(image: &str) -> Self {
        Self { object: pod(image), ..Self::default() }
    }

    pub fn object(object: impl Into<String>) -> Self {
        Self { object: object.into(), ..Self::default() }
    }

    /// A ConfigMap in a namespace; `more` are members of the object.
    pub fn configmap(namespace: &str, more: &str) -> Self {
        let comma = if more.is_empty() { "" } else { "," };
        let labels = labels();
        let object = format!(
            r#"{{"kind":"ConfigMap","apiVersion":"v1","metadata":{{"name":"web","namespace":"{namespace}",{labels}}}{comma}{more}}}"#
        );
        Self {
            what: ["", "v1", "ConfigMap", "configmaps", ""],
            namespace: namespace.into(),
            object,
            ..Self::default()
        }
    }

    /// The header's fields in the order in which Go writes them; the objects are not among them.
    pub fn header(&self) -> Vec<(&'static str, String)> {
        let [group, version, kind, resource, subresource] = self.what;
        let text = |text: &str| Json::from(text).to_string();
        let gvk = format!(r#"{{"group":"{group}","version":"{version}","kind":"{kind}"}}"#);
        let gvr = format!(r#"{{"group":"{group}","version":"{version}","resource":"{resource}"}}"#);
        let mut fields = vec![("uid", text(&self.uid)), ("kind", gvk.clone()), ("resource", gvr.clone())];
        fields.extend((!subresource.is_empty()).then(|| ("subResource", text(subresource))));
        fields.extend([
            ("requestKind", gvk),
            ("requestResource", gvr),
            ("name", text(&self.name)),
            ("namespace", text(&self.namespace)),
        ]);
        fields.extend([("operation", text(self.operation)), ("userInfo", self.user.into())]);
        fields
    }

    /// All fields of the request, in Go's order.
    pub fn fields(&self) -> Vec<(&'static str, String)> {
        let mut fields = self.header();
        fields.extend([
            ("object", self.object.clone()),
            ("oldObject", self.old_object.clone()),
            ("dryRun", self.dry_run.to_string()),
        ]);
        fields.push(("options", r#"{"kind":"CreateOptions","apiVersion":"meta.k8s.io/v1"}"#.into()));
        fields
    }

    pub fn body(&self) -> Vec<u8> {
        envelope(&join(&self.fields())).into_bytes()
    }

    /// The body with one text in it replaced, which must be there.
    pub fn with(&self, from: &str, to: &str) -> Vec<u8> {
        let text = String::from_utf8(self.body()).unwrap();
        assert!(text.contains(from), "`{from}` is not in {text}");
        text.replacen(from, to, 1).into_bytes()
    }
}

/// Fields as members of an object, in this order.
pub fn join(fields: &[(&str, String)]) -> String {
    fields.iter().map(|(key, value)| format!(r#""{key}":{value}"#)).collect::<Vec<_>>().join(",")
}

/// A review around the members of its request.
pub fn envelope(request: &str) -> String {
    format!(r#"{{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{{{request}}}}}"#)
        + "\n"
}

fn labels() -> String {
    r#""labels":{"app":"web","kubenova.io/tenant-id":"018f2b7c-0000-7000-8000-000000000001","kubenova.io/project-id":"018f2b7c-0000-7000-8000-000000000011"}"#.into()
}

/// A Pod of the sandbox with one container, and with managedFields, which no law reads.
pub fn pod(image: &str) -> String {
    pod_of(&format!(r#"{{"name":"app","image":{},"resources":{{}}}}"#, Json::from(image)))
}

/// The same with other containers.
pub fn pod_of(containers: &str) -> String {
    let labels = labels();
    let managed = r#""managedFields":[{"manager":"kubectl-create","operation":"Update","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{"f:metadata":{"f:labels":{".":{},"f:app":{}}}}}]"#;
    format!(
        r#"{{"kind":"Pod","apiVersion":"v1","metadata":{{"name":"web","namespace":"{SANDBOX}",{labels},{managed}}},"spec":{{"containers":[{containers}],"restartPolicy":"Always","securityContext":{{}}}},"status":{{}}}}"#
    )
}

/// A TLS connection that speaks HTTP/1.1.
pub struct Wire(StreamOwned<ClientConnection, TcpStream>);

/// One answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    /// In lower case.
    pub head: String,
    pub body: Vec<u8>,
}

impl Gate {
    /// A new connection, shared with nobody.
    pub fn dial(&self) -> Wire {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.authority.cert_pem().as_bytes()).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
        let config = builder
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(&self.webhook).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let connection =
            ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap()).unwrap();
        Wire(StreamOwned::new(connection, stream))
    }

    /// A review on a connection of its own: answered 200, with what an API server takes for an answer.
    pub fn ask(&self, endpoint: &str, body: &[u8]) -> Answer {
        let reply = self.dial().post(&format!("/{endpoint}?timeout=3s"), Some("application/json"), body);
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert!(reply.head.contains("content-type: application/json\r\n"), "{}", reply.head);
        read(&reply.body)
    }

    /// The gate goes on: a good review on another connection is let through, a bad one denied.
    pub fn is_unharmed(&mut self) {
        let good = self.ask("validate", &Ask::default().body());
        assert_eq!(good.json()["response"]["allowed"], true, "{}", good.message());
        assert_eq!(good.uid(), Ask::default().uid);
        assert!(self.alive());
    }

    /// The sum of the series of a metric that carry all these labels, each as `name="value"`.
    pub fn metric(&self, name: &str, labels: &[&str]) -> u64 {
        self.series(name, labels).iter().map(|(_, value)| value.parse::<u64>().unwrap()).sum()
    }

    /// A metric without labels that is no whole number.
    pub fn metric_seconds(&self, name: &str) -> f64 {
        self.series(name, &[])[0].1.parse().unwrap()
    }

    /// Series and values, by the beginning of the line.
    pub fn series(&self, name: &str, labels: &[&str]) -> Vec<(String, String)> {
        let (status, page) = self.get("/metrics");
        assert_eq!(status, 200);
        let lines = page
            .lines()
            .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
        let lines = lines.filter(|line| labels.iter().all(|label| line.contains(label)));
        lines
            .map(|line| {
                line.rsplit_once(' ').map(|(series, value)| (series.to_owned(), value.to_owned())).unwrap()
            })
            .collect()
    }
}

/// An answer as an API server reads it.
pub fn read(bytes: &[u8]) -> Answer {
    Answer::read(bytes).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(bytes)))
}

impl Wire {
    pub fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.write_all(bytes)?;
        self.0.flush()
    }

    pub fn post(&mut self, path: &str, content_type: Option<&str>, body: &[u8]) -> Reply {
        self.request("POST", path, content_type, body)
    }

    pub fn request(&mut self, method: &str, path: &str, content_type: Option<&str>, body: &[u8]) -> Reply {
        let kind = content_type.map_or(String::new(), |kind| format!("content-type: {kind}\r\n"));
        let head =
            format!("{method} {path} HTTP/1.1\r\nhost: gate\r\n{kind}content-length: {}\r\n\r\n", body.len());
        // Whoever is refused early may find the door closed to the rest; the answer counts.
        let _ = self.send(&[head.as_bytes(), body].concat());
        self.reply().expect("an answer")
    }

    /// The next answer; none where the connection ends first.
    pub fn reply(&mut self) -> Option<Reply> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte).ok()?;
            head.extend(byte);
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).ok()?;
        Some(Reply { status: head.split(' ').nth(1).unwrap().parse().unwrap(), head, body })
    }

    /// The certificate that the gate showed.
    pub fn certificate(&self) -> Vec<u8> {
        self.0.conn.peer_certificates().unwrap()[0].to_vec()
    }
}

impl Reply {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}
