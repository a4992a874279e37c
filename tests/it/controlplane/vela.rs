//! KubeVela itself: an Application becomes a Deployment and a Service through the gate, and nothing anywhere else; with
//! `--authentication-with-user` Vela writes as whoever wrote the Application, and the gate judges that person.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
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
    let mut vela = start(&stage, &[]);
    serve(&stage.plane.dir);
    rows::run(&stage, "vela");
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
    // Vela's own hand is seen in its own kinds only; whatever else came to be in app namespaces came as its author.
    let strangers = |line: &Value| {
        line["requester_class"] == "vela" && line["verdict"] == "allow" && line["resource"] == "deployments"
    };
    let strangers: Vec<Value> = stage.gate.decisions().into_iter().filter(strangers).collect();
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

/// The folder `served` by HTTP, where Vela is sent for manifests; its address is in the file `served.url`.
fn serve(dir: &Path) {
    let folder = dir.join("served");
    std::fs::create_dir(&folder).unwrap();
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    std::fs::write(dir.join("served.url"), format!("http://{}", listener.local_addr().unwrap())).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).unwrap();
            let name = line.split(' ').nth(1).unwrap().trim_start_matches('/').to_owned();
            let body = std::fs::read(folder.join(name)).unwrap();
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(&body).unwrap();
        }
    });
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
