//! KubeVela itself: an Application becomes a Deployment and a Service through the gate, and nothing anywhere else; with
//! `--authentication-with-user` Vela writes as whoever wrote the Application, and the gate judges that person.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use serde_json::Value;

use super::deputy::{Deputy, list, rendered};
use super::plane::free_port;
use super::rows;
use super::stage::Stage;
use crate::support::wait;

const DEFINITIONS: &[&str] =
    &["ComponentDefinition", "TraitDefinition", "PolicyDefinition", "WorkflowStepDefinition"];

#[test]
fn vela_deploys_an_app_into_its_own_namespace_and_nowhere_else() {
    let stage = Stage::set();
    install(&stage, &[]);
    let gateway = serve(&stage.plane.dir);
    let words = [format!("--cluster-gateway-url={gateway}"), "--cluster-gateway-ca-file=ca.pem".to_owned()];
    let mut vela = start(&stage, &words);
    rows::run(&stage, "vela");
    rows::run(&stage, "vela-clusters");
    assert!(vela.runs(), "{}", vela.told());
    stage.is_sound();
    stage.passes("vela");
}

#[test]
fn with_authentication_vela_writes_as_the_author_and_the_gate_judges_the_author() {
    let mut stage = Stage::set();
    let documents = install(&stage, &["authentication.enabled=true", "authentication.withUser=true"]);
    let (serving, port) = (stage.serving("vela-serving"), free_port());
    let words = [
        "--feature-gates=AuthenticateApplication=true".to_owned(),
        "--authentication-with-user".to_owned(),
        "--authentication-default-user=kubevela:vela-core".to_owned(),
        "--authentication-group-pattern=kubevela:*".to_owned(),
        "--use-webhook=true".to_owned(),
        format!("--webhook-port={port}"),
        format!("--webhook-cert-dir={}", serving.display()),
    ];
    let mut vela = start(&stage, &words);
    wait(Duration::from_mins(3), || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
    stage.root(
        "kubectl apply -f -",
        &webhooks(documents, port, &std::fs::read(stage.gate.dir.join("certs/ca.pem")).unwrap()),
    );
    rows::run(&stage, "vela-authentication-untold");
    stage.gate.restart_with("vela-identity-annotations", "authentication: true\n");
    rows::run(&stage, "vela-authentication");
    assert!(vela.runs(), "{}", vela.told());
    stage.is_sound();
    stage.passes("vela");
    // Vela's own name is seen on its own kinds only; whatever else came to be in app namespaces came as its author.
    let decisions = stage.gate.decisions();
    let allowed = |class: &str, resource: &str| -> Vec<&Value> {
        let wrote = |line: &&Value| {
            line["requester_class"] == class && line["verdict"] == "allow" && line["resource"] == resource
        };
        decisions.iter().filter(wrote).collect()
    };
    // Without these two the third would hold whatever is written.
    assert!(!allowed("vela", "applications.core.oam.dev").is_empty(), "Vela wrote no Application");
    assert!(!allowed("platform", "deployments.apps").is_empty(), "no Deployment came as its author");
    // `frontend` stands there from the beginning, as one that Vela deployed.
    let strangers = allowed("vela", "deployments.apps");
    let strangers: Vec<_> = strangers.into_iter().filter(|line| line["name"] != "frontend").collect();
    assert!(strangers.is_empty(), "{strangers:#?}");
}

/// Kinds and definitions, as the chart has them; the kinds of the world give way.
fn install(stage: &Stage, values: &[&str]) -> Vec<Value> {
    let words = [&["--include-crds"], values].concat();
    let documents = rendered("vela-core", "kubevela", "vela-system", &words);
    let kinds = list(&documents, &["CustomResourceDefinition"]);
    stage.root("kubectl apply --server-side --force-conflicts -f -", &kinds);
    stage.root("kubectl wait --for=condition=Established --timeout=180s crd --all", "");
    stage.root("kubectl apply --server-side -f -", &list(&documents, DEFINITIONS));
    documents
}

fn start(stage: &Stage, more: &[String]) -> Deputy {
    let words = [
        format!("--metrics-addr=127.0.0.1:{}", free_port()),
        format!("--health-addr=127.0.0.1:{}", free_port()),
    ];
    let account = ("vela-system", "kubevela-vela-core");
    Deputy::start(&stage.plane, "vela-core", account, &[&words, more].concat(), &[])
}

/// The folder `served` by HTTP, where Vela is sent for manifests and for other clusters; its address is in the file
/// `served.url`, and what it was asked for in `served.log`.
fn serve(dir: &Path) -> String {
    let folder = dir.join("served");
    std::fs::create_dir(&folder).unwrap();
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::fs::write(dir.join("served.url"), &url).unwrap();
    let mut log = std::fs::File::create(dir.join("served.log")).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            answer(&stream.unwrap(), &folder, &mut log);
        }
    });
    url
}

/// One file a connection; what is not there is not found.
fn answer(stream: &TcpStream, folder: &Path, mut log: impl std::io::Write) {
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let Some(asked) = lines.next() else { return };
    let words: Vec<&str> = asked.split(' ').collect();
    let path = words[1].split('?').next().unwrap();
    writeln!(log, "{} {path}", words[0]).unwrap();
    let found = std::fs::read(folder.join(path.trim_start_matches('/')));
    let status = if found.is_ok() { "200 OK" } else { "404 Not Found" };
    let body = found.unwrap_or_default();
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    // The rest of what was sent is read, or the other side would see a reset connection and no answer.
    let mut stream = stream;
    let _ = stream.write_all(&[head.as_bytes(), &body].concat());
    let _ = stream.shutdown(Shutdown::Write);
    lines.for_each(drop);
}

/// The chart's webhook for Applications, for a server on this machine.
fn webhooks(mut documents: Vec<Value>, port: u16, authority: &[u8]) -> String {
    let configuration =
        documents.iter_mut().find(|document| document["kind"] == "MutatingWebhookConfiguration").unwrap();
    let applications = |hook: &&mut Value| hook["name"] == "mutating.core.oam.dev.v1beta1.applications";
    let hook = configuration["webhooks"].as_array_mut().unwrap().iter_mut().find(applications).unwrap();
    let path = hook["clientConfig"]["service"]["path"].as_str().unwrap();
    hook["clientConfig"] = serde_json::json!({
        "url": format!("https://127.0.0.1:{port}{path}"),
        "caBundle": base64::engine::general_purpose::STANDARD.encode(authority),
    });
    hook["failurePolicy"] = "Fail".into();
    let hook = hook.take();
    configuration["webhooks"] = serde_json::json!([hook]);
    configuration.to_string()
}
