//! Capsule itself beside the gate: an owner of a Capsule Tenant makes no namespace that the law forbids, and what Capsule
//! reconciles in the namespaces of tenants is never refused.

use std::time::Duration;

use base64::Engine as _;

use super::deputy::{Deputy, list, rendered};
use super::plane::free_port;
use super::rows;
use super::stage::Stage;
use crate::support::wait;

/// Where Capsule answers probes, which no flag changes: two runs on one machine take turns.
const PROBES: (&str, u16) = ("0.0.0.0", 10080);

#[test]
fn capsule_makes_no_namespace_that_the_law_forbids_and_is_refused_nothing() {
    let stage = Stage::set();
    let port = free_port();
    install(&stage, port);
    let mut capsule = start(&stage, port);
    rows::run(&stage, "capsule");
    assert!(capsule.runs(), "{}", capsule.told());
    stage.is_sound();
    stage.passes("capsule");
}

/// Its kinds and its configuration, as the chart has them; Capsule writes its own webhooks from the latter. The manager is
/// an administrator of Capsule's: whom it puts into a Tenant, it names by a label.
fn install(stage: &Stage, port: u16) {
    stage.root("kubectl create namespace capsule-system", "");
    let authority = std::fs::read(stage.gate.dir.join("certs/ca.pem")).unwrap();
    let documents = rendered(
        "capsule",
        "capsule",
        "capsule-system",
        &[
            "crds.inline=true",
            &format!("webhooks.service.url=https://127.0.0.1:{port}"),
            &format!(
                "webhooks.service.caBundle={}",
                base64::engine::general_purpose::STANDARD.encode(authority)
            ),
            "manager.options.administrators[0].kind=ServiceAccount",
            "manager.options.administrators[0].name=system:serviceaccount:kubenova-system:manager",
        ],
    );
    let kinds = list(&documents, &["CustomResourceDefinition"]);
    stage.root("kubectl apply --server-side -f -", &kinds);
    stage.root("kubectl wait --for=condition=Established --timeout=180s crd --all", "");
    stage.root("kubectl apply --server-side -f -", &list(&documents, &["CapsuleConfiguration"]));
}

fn start(stage: &Stage, port: u16) -> Deputy {
    let serving = stage.serving("capsule-serving");
    let words = [
        format!("--webhook-port={port}"),
        format!("--webhook-cert-path={}", serving.display()),
        "--metrics-addr=0".to_owned(),
        "--configuration-name=default".to_owned(),
        "--workers=4".to_owned(),
        "--client-connection-qps=200".to_owned(),
        "--client-connection-burst=400".to_owned(),
    ];
    let env = [("NAMESPACE", "capsule-system"), ("SERVICE_ACCOUNT", "capsule")];
    let registered =
        "kubectl get mutatingwebhookconfiguration,validatingwebhookconfiguration capsule-dynamic-webhook";
    wait(Duration::from_mins(5), || {
        wait(Duration::from_mins(5), || std::net::TcpListener::bind(PROBES).ok());
        let mut capsule = Deputy::start(&stage.plane, "capsule", ("capsule-system", "capsule"), &words, &env);
        let serves = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        let ready = wait(Duration::from_mins(3), || {
            let ready = serves() && stage.plane.shell("root", registered, None).ok;
            (ready || !capsule.runs()).then_some(ready)
        });
        assert!(ready || capsule.told().contains("address already in use"), "{}", capsule.told());
        ready.then_some(capsule)
    })
}
