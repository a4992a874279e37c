//! What hostile tenants send: each kind is one body with marks in it that differ from review to review.

use std::fmt::Write as _;

use portcullis_admission::cases::{Answer, Word};

use super::caller::{Caller, Reply};
use crate::support::wire::{ALICE, Ask, pod_of};

const SANDBOX: &str = "tn-globex-web-sbx-001";
const BOB: &str =
    r#"{"username":"bob@globex.io","groups":["globex-devs","projectcapsule.dev","system:authenticated"]}"#;
const CAROL: &str = r#"{"username":"carol@initech.io","groups":["initech-devs","projectcapsule.dev","system:authenticated"]}"#;
const IDS: &str = r#""kubenova.io/tenant-id":"018f2b7c-0000-7000-8000-000000000002","kubenova.io/project-id":"018f2b7c-0000-7000-8000-000000000012""#;
const IMAGE: &str = "registry.example.com/tenants/globex/web";

/// Stands where each review differs; as long as what it is replaced by.
const MARK: &str = "MARKMARKMARKMARK";

/// What a kind must be answered.
#[derive(Clone, Copy)]
pub enum Right {
    /// Let through, whatever it costs.
    Allow,
    /// Denied by a policy.
    Deny,
    /// Refused because it cannot be: by a policy, as an error in the answer, or as HTTP 400.
    Refuse,
    /// Let through where the budget suffices and no policy reads what is too deep, and otherwise refused in the answer.
    AllowOrRefuse,
}

pub struct Kind {
    pub name: &'static str,
    path: &'static str,
    pub body: Vec<u8>,
    marks: Vec<usize>,
    right: Right,
    /// Whether marks are taken from a short list again and again.
    few: Option<usize>,
    /// Connections at once: of what is small, as many as fill the queues of the gate.
    pub callers: usize,
}

impl Kind {
    fn new(name: &'static str, ask: &Ask, right: Right) -> Self {
        let ask = Ask { uid: format!("705ab4f5-{MARK}"), ..ask.clone() };
        let body = ask.body();
        Self { name, path: "/validate?timeout=3s", marks: marks(&body), body, right, few: None, callers: 2 }
    }

    /// A name that no cluster has: `requestResource` says what was asked for, as it does after a conversion.
    fn long_resource() -> Self {
        let kind = Self::new("a resource of 12 MiB", &widget("{}", &format!("w{MARK}")), Right::Refuse);
        let text = String::from_utf8(kind.body).unwrap();
        let (from, to) =
            (format!(r#""resource":"w{MARK}""#), format!(r#""resource":"{MARK}{}""#, "a".repeat(12 << 20)));
        let body = text.replacen(&from, &to, 1).replacen(&from, r#""resource":"widgets""#, 1).into_bytes();
        Self { marks: marks(&body), body, ..kind }
    }

    /// The same asked of `/mutate`: what is denied by `/validate` is let through there, as it is or patched.
    fn mutating(&self, name: &'static str) -> Self {
        let right = if matches!(self.right, Right::Deny) { Right::Allow } else { self.right };
        let (path, body, marks) = ("/mutate?timeout=2s", self.body.clone(), self.marks.clone());
        Self { name, path, body, marks, right, few: self.few, callers: 2 }
    }

    /// Sends one review, for which there is time.
    pub async fn ask_alone(&self, caller: &mut Caller) -> Result<bool, String> {
        let mut body = self.body.clone();
        let mark = self.mark(&mut body, usize::MAX);
        let (path, _) = self.path.split_once('?').expect("a timeout");
        let reply = caller.ask(&format!("{path}?timeout=30s"), &body).await?;
        self.judge(&reply, &mark)
    }

    /// Sends the review of this number: whether it was judged, or an explicit word that there is too much to do.
    pub async fn ask(&self, caller: &mut Caller, body: &mut [u8], n: usize) -> Result<bool, String> {
        let uid = self.mark(body, n);
        let reply = caller.ask(self.path, body).await?;
        self.judge(&reply, &uid)
    }

    /// Makes the body the one of this number; its uid.
    fn mark(&self, body: &mut [u8], n: usize) -> String {
        let mark = format!("{:016x}", self.few.map_or(n, |few| n % few));
        for at in &self.marks {
            body[*at..*at + MARK.len()].copy_from_slice(mark.as_bytes());
        }
        format!("705ab4f5-{mark}")
    }

    fn judge(&self, reply: &Reply, uid: &str) -> Result<bool, String> {
        let refusable = matches!(self.right, Right::Refuse);
        let answer = match reply.status {
            // 408 is for this caller, which the system prefers all others to: 12 MiB may take it more than five seconds.
            503 | 408 => return Ok(false),
            400 if refusable => return Ok(true),
            200 => Answer::read(&reply.body)?,
            status => return Err(format!("HTTP {status}: {}", String::from_utf8_lossy(&reply.body))),
        };
        if answer.uid() != uid {
            return Err(format!("the answer to {} and not to {uid}", answer.uid()));
        }
        // Shed once its tenant was known, or begun so late that the caller's time was over.
        let said = [vec![answer.message()], answer.warnings()].concat().join(" ");
        if ["full share of it", "the review's deadline"].iter().any(|words| said.contains(words)) {
            return Ok(false);
        }
        let word = answer.verdict();
        let right = match self.right {
            Right::Allow => word == Word::Allow,
            Right::Deny => word == Word::Deny,
            // Where `/mutate` fails, the object goes on as it is, to `/validate`.
            Right::Refuse => word != Word::Allow || self.path.starts_with("/mutate"),
            Right::AllowOrRefuse => true,
        };
        let said = || {
            let text = format!("{} {:?}", answer.message(), answer.warnings());
            format!("{word:?}: {}", text.chars().take(300).collect::<String>())
        };
        if right { Ok(true) } else { Err(said()) }
    }
}

fn marks(body: &[u8]) -> Vec<usize> {
    let windows = body.windows(MARK.len()).enumerate();
    windows.filter(|(_, window)| *window == MARK.as_bytes()).map(|(at, _)| at).collect()
}

/// Every kind of `/validate`, and the dearest again to `/mutate`.
pub fn kinds() -> Vec<Kind> {
    let mut few = Kind::new("4,200 invented short names", &widget("{}", "wMARKMARKMARKMARK"), Right::Allow);
    (few.few, few.callers) = (Some(4_200), 16);
    let mut dear =
        Kind::new("800 containers, below 64 KiB", &pod(&short_containers(800)), Right::AllowOrRefuse);
    dear.callers = 32;
    let mut busy = Kind::new("small Pods", &pod(&container("a", &format!("{IMAGE}:{MARK}"))), Right::Allow);
    busy.callers = 64;
    let kinds = vec![
        Kind::new("an image of 2.9 MiB", &pod(&container("a", &long_image())), Right::Deny),
        Kind::long_resource(),
        few,
        Kind::new("64,000 finalizers removed", &finalizers(), Right::Allow),
        Kind::new("5,000 fields changed", &changes(), Right::Allow),
        Kind::new("5,000 containers", &pod(&containers(5_000)), Right::AllowOrRefuse),
        Kind::new("5,000 containers of another tenant", &foreign(), Right::Refuse),
        dear,
        busy,
        Kind::new("64,000 labels", &configmap(&map("labels", 64_000), ""), Right::AllowOrRefuse),
        Kind::new("64,000 annotations", &configmap(&map("annotations", 64_000), ""), Right::AllowOrRefuse),
        Kind::new("64,000 owners", &configmap(&owners(64_000), ""), Right::AllowOrRefuse),
        Kind::new("an object 5,000 deep", &widget(&nested(5_000), "widgets"), Right::AllowOrRefuse),
        Kind::new("a DELETE of it", &deleted(), Right::Allow),
        Kind::new("an Application of 5,000 components", &application(5_000), Right::Deny),
    ];
    let again = [
        ("an image of 2.9 MiB", "`/mutate`: an image of 2.9 MiB"),
        ("64,000 finalizers removed", "`/mutate`: 64,000 finalizers removed"),
        ("5,000 containers", "`/mutate`: 5,000 containers"),
        ("64,000 labels", "`/mutate`: 64,000 labels"),
        ("an object 5,000 deep", "`/mutate`: an object 5,000 deep"),
        ("an Application of 5,000 components", "`/mutate`: an Application of 5,000 components"),
    ];
    let again = again.map(|(name, as_asked)| {
        kinds.iter().find(|kind| kind.name == name).expect("a kind").mutating(as_asked)
    });
    kinds.into_iter().chain(again).collect()
}

fn of(what: [&'static str; 5], object: String) -> Ask {
    Ask { what, namespace: SANDBOX.into(), user: BOB, object, ..Ask::default() }
}

fn pod(containers: &str) -> Ask {
    let object = pod_of(containers)
        .replace("tn-acme-shop-sbx-001", SANDBOX)
        .replace("-000000000001", "-000000000002")
        .replace("-000000000011", "-000000000012");
    of(["", "v1", "Pod", "pods", ""], object)
}

fn container(name: &str, image: &str) -> String {
    format!(r#"{{"name":"{name}","image":"{image}","resources":{{}}}}"#)
}

fn long_image() -> String {
    format!("evil.io/{MARK}/{}", "a".repeat(2_900 << 10))
}

fn containers(count: usize) -> String {
    let all: Vec<_> =
        (0..count).map(|n| container(&format!("c{n}"), &format!("{IMAGE}:{n}-{MARK}"))).collect();
    all.join(",")
}

/// As many as fit into a body that is not large.
fn short_containers(count: usize) -> String {
    let one = |n| format!(r#"{{"name":"c{n}","image":"{IMAGE}:{n}"}}"#);
    let first = container("first", &format!("{IMAGE}:{MARK}"));
    std::iter::once(first).chain((1..count).map(one)).collect::<Vec<_>>().join(",")
}

/// A tenant without registries, in its own sandbox.
fn foreign() -> Ask {
    let Ask { object, .. } = pod(&containers(5_000));
    let namespace = "tn-initech-tps-sbx-001";
    let object = object.replace(SANDBOX, namespace).replace("-000000000002", "-000000000003");
    let object = object.replace("-000000000012", "-000000000013");
    Ask { object, namespace: namespace.into(), user: CAROL, ..Ask::default() }
}

fn configmap(metadata: &str, data: &str) -> Ask {
    let labels =
        if metadata.contains("\"labels\"") { String::new() } else { format!(r#""labels":{{{IDS}}},"#) };
    let object = format!(
        r#"{{"kind":"ConfigMap","apiVersion":"v1","metadata":{{"name":"web","namespace":"{SANDBOX}",{labels}{metadata}}},"data":{{"mark":"{MARK}"{data}}}}}"#
    );
    of(["", "v1", "ConfigMap", "configmaps", ""], object)
}

fn map(name: &str, count: usize) -> String {
    let mut text = format!(r#""{name}":{{{IDS}"#);
    for n in 0..count {
        let _ = write!(text, r#","k{n}.example.com/x":"v""#);
    }
    text + "}"
}

fn owners(count: usize) -> String {
    let one = |n| format!(r#"{{"apiVersion":"v1","kind":"Pod","name":"p{n}","uid":"u{n}"}}"#);
    format!(r#""ownerReferences":[{}]"#, (0..count).map(one).collect::<Vec<_>>().join(","))
}

/// The last step of a deletion.
fn finalizers() -> Ask {
    let all: Vec<_> = (0..64_000).map(|n| format!(r#""x.io/f{n}""#)).collect();
    let deleting = r#""deletionTimestamp":"2026-05-04T09:00:00Z","deletionGracePeriodSeconds":0"#;
    let before = configmap(&format!(r#"{deleting},"finalizers":[{}]"#, all.join(",")), "");
    let after = configmap(deleting, "");
    Ask { operation: "UPDATE", old_object: before.object, ..after }
}

fn changes() -> Ask {
    let data = |value: &str| {
        (0..5_000).fold(String::new(), |mut text, n| {
            let _ = write!(text, r#","key-{n}":"{value}""#);
            text
        })
    };
    let (before, after) = (configmap(r#""uid":"u""#, &data("a")), configmap(r#""uid":"u""#, &data(MARK)));
    Ask { operation: "UPDATE", old_object: before.object, ..after }
}

/// A resource of the tenant's own, of which no policy reads more than the metadata.
fn widget(spec: &str, resource: &str) -> Ask {
    let object = format!(
        r#"{{"kind":"Widget","apiVersion":"example.com/v1","metadata":{{"name":"web","namespace":"{SANDBOX}","labels":{{{IDS}}}}},"spec":{spec}}}"#
    );
    let resource: &'static str = Box::leak(resource.to_owned().into_boxed_str());
    of(["example.com", "v1", "Widget", resource, ""], object)
}

fn nested(depth: usize) -> String {
    format!("{}\"{MARK}\"{}", r#"{"a":"#.repeat(depth), "}".repeat(depth))
}

fn deleted() -> Ask {
    let ask = widget(&nested(5_000), "widgets");
    Ask { operation: "DELETE", old_object: ask.object, object: "null".into(), ..ask }
}

fn application(components: usize) -> Ask {
    let one =
        |n| format!(r#"{{"name":"c{n}","type":"webservice","properties":{{"image":"{IMAGE}:{n}-{MARK}"}}}}"#);
    let components: Vec<_> = (0..components).map(one).collect();
    let object = format!(
        r#"{{"kind":"Application","apiVersion":"core.oam.dev/v1beta1","metadata":{{"name":"web","namespace":"{SANDBOX}","labels":{{{IDS}}}}},"spec":{{"components":[{}]}}}}"#,
        components.join(",")
    );
    of(["core.oam.dev", "v1beta1", "Application", "applications", ""], object)
}

#[test]
fn each_kind_is_as_large_as_it_says() {
    for kind in kinds() {
        assert!(kind.marks.len() >= 2 && kind.body.len() < 16 << 20, "{}: {}", kind.name, kind.body.len());
        assert!(
            !kind.name.contains("below") || kind.body.len() < 64 << 10,
            "{}: {}",
            kind.name,
            kind.body.len()
        );
    }
    assert!(!ALICE.contains("globex"), "the innocent tenant is another");
}
