//! The chart and the plain manifests beside it: they render, they run under the restricted Pod Security Standard, their
//! flags exist, and they register what the table says.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use portcullis_cluster::{Need, ca_bundle, certificates, configmaps, events, probe, view};
use portcullis_policy::registration::{self, Client, Settings};
use serde_json::{Value, json};

use super::tools::tool;
use super::{run, same_as_file, scratch};
use crate::support::root;

const VALUES: [&str; 3] = ["dev", "staging", "prod"];

/// The addresses of the API servers, without which nothing renders.
const ADDRESSES: [&str; 2] = ["--set", "networkPolicy.controlPlaneCIDRs={10.0.0.0/28}"];

/// Renders the chart for these API servers; `None` where there is no Go to build helm with.
fn render(words: &[&str]) -> Option<String> {
    render_alone(&[&ADDRESSES, words].concat())
}

fn render_alone(words: &[&str]) -> Option<String> {
    let done = helm(words)?;
    assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
    Some(String::from_utf8(done.stdout).unwrap())
}

fn helm(words: &[&str]) -> Option<std::process::Output> {
    static HELM: LazyLock<Option<std::path::PathBuf>> =
        LazyLock::new(|| tool("helm", "helm.sh/helm/v3/cmd/helm"));
    let mut command = Command::new(HELM.as_ref()?);
    command.args([
        "template",
        "portcullis",
        "charts/portcullis",
        "--namespace",
        "portcullis-system",
        "--kube-version",
        "1.36",
    ]);
    Some(command.args(words).current_dir(root()).output().unwrap())
}

fn render_for(stage: &str) -> Option<String> {
    render(&["--values", &format!("charts/portcullis/values-{stage}.yaml")])
}

fn documents(text: &str) -> Vec<Value> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
    documents.into_iter().filter(|document| !document.is_null()).collect()
}

fn of_kind<'a>(documents: &'a [Value], kind: &str) -> &'a Value {
    documents.iter().find(|document| document["kind"] == kind).unwrap_or_else(|| panic!("no {kind}"))
}

fn args(container: &Value) -> Vec<&str> {
    container["args"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect()
}

/// What every Deployment of the gate must have.
fn check_deployment(deployment: &Value) {
    let (spec, pod) = (&deployment["spec"], &deployment["spec"]["template"]["spec"]);
    assert_eq!(spec["strategy"]["rollingUpdate"], json!({"maxUnavailable": 0, "maxSurge": 1}));
    for flag in ["hostNetwork", "hostPID", "hostIPC", "hostUsers"] {
        assert_eq!(pod[flag], Value::Null);
    }
    let asking = [
        "--tls-secret=",
        "--verify-ca-bundle",
        "--watch-namespaces",
        "--policy-configmaps=",
        "--manage-ca-bundle=",
    ];
    let words = args(&pod["containers"][0]);
    let asks = words.iter().any(|word| asking.iter().any(|flag| word.starts_with(flag)));
    assert_eq!(pod["automountServiceAccountToken"], asks, "a token is for who asks the API server");
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["runAsUser"], 65532);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    let kinds =
        |volume: &Value| ["secret", "configMap", "projected"].iter().any(|kind| volume.get(kind).is_some());
    let state = |volume: &Value| volume["name"] == "state" && volume["emptyDir"]["sizeLimit"].is_string();
    let volumes = pod["volumes"].as_array().unwrap();
    assert!(volumes.iter().all(|volume| kinds(volume) || state(volume)), "{volumes:?}");
    let [container] = &pod["containers"].as_array().unwrap()[..] else { panic!("one container") };
    assert_eq!(
        container["securityContext"],
        json!({
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "runAsNonRoot": true,
            "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"},
        })
    );
    assert!(
        container["resources"]["requests"]["cpu"].is_string()
            && container["resources"]["limits"]["memory"].is_string()
    );
    let read_only = |mount: &Value| mount["readOnly"] == true && mount.get("subPath").is_none();
    let mounts = container["volumeMounts"].as_array().unwrap();
    assert!(mounts.iter().filter(|mount| mount["name"] != "state").all(read_only));
    let names = |list: &[Value]| -> BTreeSet<String> {
        list.iter().map(|entry| entry["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(mounts), names(volumes), "what is mounted, and what there is to mount");
    for (probe, path) in
        [("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")]
    {
        assert_eq!(container[probe]["httpGet"], json!({"path": path, "port": "admin"}));
    }
    check_flags(&args(container));
    check_drain(pod, container);
}

fn check_flags(words: &[&str]) {
    let (code, help, _) = run(&["serve", "--help"]);
    assert_eq!((code, words[0]), (0, "serve"));
    let known = |flag: &str| help.split_whitespace().any(|word| word.trim_end_matches(',') == flag);
    for word in &words[1..] {
        let flag = word.split_once('=').map_or(*word, |(flag, _)| flag);
        assert!(known(flag), "`portcullis serve --help` knows no {flag}");
    }
}

/// Nobody is killed who still answers: the Pod's grace is longer than all that comes before the end.
fn check_drain(pod: &Value, container: &Value) {
    let seconds = |flag: &str| {
        let words = args(container);
        let value = words.iter().find_map(|word| word.strip_prefix(flag)).unwrap();
        value.strip_suffix('s').unwrap().parse::<i64>().unwrap()
    };
    let before = container["lifecycle"]["preStop"]["sleep"]["seconds"].as_i64().unwrap_or(0);
    let sum = before + seconds("--drain-delay=") + seconds("--drain-grace=");
    let grace = pod["terminationGracePeriodSeconds"].as_i64().unwrap();
    assert!(grace > sum, "{grace} s of grace, {sum} s of draining");
    assert!(seconds("--drain-grace=") > 3, "the longest call takes 3 s");
}

fn settings_of_release() -> Settings {
    Settings {
        client: Client::Service {
            namespace: "portcullis-system".into(),
            name: "portcullis".into(),
            port: 443,
        },
        ..Settings::default()
    }
}

#[test]
fn every_stage_renders_and_may_run() {
    for stage in VALUES {
        let Some(text) = render_for(stage) else { return };
        let documents = documents(&text);
        for document in &documents {
            let place = (&document["kind"], &document["metadata"]["name"]);
            assert!(
                document["apiVersion"].is_string() && document["metadata"]["name"].is_string(),
                "{stage}: {place:?}"
            );
            assert_eq!(
                document["metadata"]["labels"]["app.kubernetes.io/name"], "portcullis",
                "{stage}: {place:?}"
            );
        }
        check_deployment(of_kind(&documents, "Deployment"));
        let drifts = registration::drift(&registration::configurations(&settings_of_release()), &documents);
        let places: Vec<&str> = drifts.iter().map(|drift| drift.path.as_str()).collect();
        // Trying out fails open, and nothing else differs.
        let allowed = if stage == "dev" { 4 } else { 0 };
        assert!(
            drifts.len() == allowed && places.iter().all(|place| place.ends_with(" failurePolicy")),
            "{stage}: {places:?}"
        );
    }
}

#[test]
fn production_is_as_it_was() {
    let Some(text) = render_for("prod") else { return };
    let documents = documents(&text);
    assert_eq!(of_kind(&documents, "PodDisruptionBudget")["spec"]["maxUnavailable"], 1);
    let (deployment, issued) = (of_kind(&documents, "Deployment"), of_kind(&documents, "Certificate"));
    assert_eq!(deployment["spec"]["replicas"], 3);
    assert_eq!(deployment["spec"]["template"]["spec"]["priorityClassName"], "system-cluster-critical");
    assert_eq!(issued["kind"], "Certificate");
    same_as_file("tests/it/manifests/prod.yaml", &text);
}

#[test]
fn settings_reach_the_registration() {
    let words = [
        ("webhook.tenantPrefix", "kn"),
        ("webhook.tenantSuffix", ":members"),
        ("webhook.domain", "gate.example.com"),
        ("webhook.velaUser", "system:serviceaccount:vela:core"),
        ("nameOverride", "gate"),
        ("tls.mode", "secret"),
        ("tenancy.existingConfigMap", "t"),
        ("tls.caBundle", "-----BEGIN CERTIFICATE-----\nQQ==\n-----END CERTIFICATE-----\n"),
    ];
    let words: Vec<String> =
        words.iter().flat_map(|(key, value)| ["--set-string".into(), format!("{key}={value}")]).collect();
    let Some(text) = render(&words.iter().map(String::as_str).collect::<Vec<_>>()) else { return };
    let settings = Settings {
        domain: "gate.example.com".into(),
        prefix: "kn".into(),
        tenant_suffix: ":members".into(),
        vela: "system:serviceaccount:vela:core".into(),
        client: Client::service("portcullis-system/gate").unwrap(),
        ca_bundle: Some("-----BEGIN CERTIFICATE-----\nQQ==\n-----END CERTIFICATE-----\n".into()),
    };
    settings.validate().unwrap();
    let drifts = registration::drift(&registration::configurations(&settings), &documents(&text));
    assert!(drifts.is_empty(), "{}", drifts.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
}

#[test]
fn policies_tenants_and_callers_come_as_files() {
    let values = "tenancy: {snapshot: {ledger: l, revision: 1}}\n\
                  policies: {source: files, files: {registries/allowlist.rego: \"package p\\n\", top.rego: \"package q\\n\"}}\n\
                  clientAuth: {enabled: true, mode: optional}\nnetworkPolicy: {controlPlaneCIDRs: [10.0.0.0/28]}\n\
                  extraFlags: {max-inflight: 2048}\n";
    let (_dir, file) = scratch("values.yaml", values);
    let Some(text) = render(&["--values", file.to_str().unwrap()]) else { return };
    let documents = documents(&text);
    let deployment = of_kind(&documents, "Deployment");
    check_deployment(deployment);
    let maps: Vec<&Value> = documents.iter().filter(|document| document["kind"] == "ConfigMap").collect();
    let of = |name: &str| maps.iter().find(|map| map["metadata"]["name"] == name).unwrap();
    assert_eq!(of("portcullis-policies")["data"]["registries__allowlist.rego"], "package p\n");
    assert!(of("portcullis-tenancy")["data"]["tenancy.yaml"].as_str().unwrap().contains("revision: 1"));
    let volumes = deployment["spec"]["template"]["spec"]["volumes"].as_array().unwrap();
    let policies = volumes.iter().find(|volume| volume["name"] == "policies").unwrap();
    assert_eq!(
        policies["configMap"]["items"][0],
        json!({"key": "registries__allowlist.rego", "path": "registries/allowlist.rego"})
    );
    let from = &of_kind(&documents, "NetworkPolicy")["spec"]["ingress"][0]["from"];
    assert_eq!(*from, json!([{"ipBlock": {"cidr": "10.0.0.0/28"}}]));
}

#[test]
fn a_ledger_stands_beside_the_gates() {
    for (source, flags) in [
        ("ledger", &["--ledger=https://portcullis-api.portcullis-system.svc", "--cluster=eu-1"][..]),
        ("database", &["--snapshot-cache=/var/lib/portcullis/snapshot", "--cluster=eu-1"]),
    ] {
        let values = format!(
            "tenancy: {{source: {source}}}\nledger: {{cluster: eu-1}}\napi: {{enabled: true}}\nbreakglass: {{secretName: glass}}\n\
             policies: {{source: configMaps, configMaps: [{{name: law}}]}}\n"
        );
        let (_dir, file) = scratch("values.yaml", &values);
        let Some(text) = render(&["--values", file.to_str().unwrap()]) else { return };
        let documents = documents(&text);
        let named = |kind: &str, name: &str| {
            let same = |document: &&Value| document["kind"] == kind && document["metadata"]["name"] == name;
            documents.iter().find(same).unwrap_or_else(|| panic!("no {kind} {name}"))
        };
        let (gate, api) = (named("Deployment", "portcullis"), named("Deployment", "portcullis-api"));
        for deployment in [gate, api] {
            check_deployment(deployment);
        }
        let container = |deployment: &Value| deployment["spec"]["template"]["spec"]["containers"][0].clone();
        let words = container(gate);
        assert!(flags.iter().all(|flag| args(&words).contains(flag)), "{:?}", args(&words));
        assert!(!args(&words).iter().any(|flag| flag.starts_with("--tenancy")));
        let database = |container: &Value| container["env"][0]["name"] == "PORTCULLIS_DATABASE";
        assert_eq!((database(&words), database(&container(api))), (source == "database", true));
        // The API server must never find a Pod of the API behind the webhook's Service.
        let selected = &named("Service", "portcullis")["spec"]["selector"];
        assert_ne!(selected, &named("Service", "portcullis-api")["spec"]["selector"]);
        assert_ne!(
            selected["app.kubernetes.io/name"],
            api["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"]
        );
        let issued = &named("Certificate", "portcullis-api")["spec"];
        assert_eq!(issued["dnsNames"], json!(["portcullis-api.portcullis-system.svc"]));
        assert_ne!(named("NetworkPolicy", "portcullis")["spec"]["egress"], json!([]));
        let closed = &named("NetworkPolicy", "portcullis-api")["spec"];
        assert_eq!(closed["podSelector"]["matchLabels"], api["spec"]["selector"]["matchLabels"]);
        assert_eq!(closed["policyTypes"], json!(["Ingress", "Egress"]));
        let ports = |rule: &Value| rule["ports"][0]["port"].clone();
        let ingress = closed["ingress"].as_array().unwrap();
        assert_eq!(ingress.iter().map(ports).collect::<Vec<_>>(), ["api", "admin"]);
        assert_eq!(ingress[0]["from"], Value::Null, "apiClients is empty, so every client may call");
        assert!(ingress[1]["from"][0]["namespaceSelector"].is_object(), "metrics are for Prometheus alone");
    }
}

#[test]
fn gates_show_the_token_of_their_service_account() {
    for (own, source) in [(false, "secret"), (true, "serviceAccountToken")] {
        let values = format!(
            "tenancy: {{source: ledger}}\nledger: {{serviceAccountToken: {own}, audience: ledger.example}}\napi: {{enabled: true}}\n"
        );
        let (_dir, file) = scratch("values.yaml", &values);
        let Some(text) = render(&["--values", file.to_str().unwrap()]) else { return };
        let documents = documents(&text);
        let named = |document: &&Value| {
            document["kind"] == "Deployment" && document["metadata"]["name"] == "portcullis"
        };
        let volumes = &documents.iter().find(named).unwrap()["spec"]["template"]["spec"]["volumes"];
        let ledger = volumes.as_array().unwrap().iter().find(|volume| volume["name"] == "ledger").unwrap();
        let first = &ledger["projected"]["sources"][0];
        assert!(first[source].is_object(), "{first}");
        if own {
            let token = json!({"audience": "ledger.example", "expirationSeconds": 3600, "path": "token"});
            assert_eq!(first[source], token);
            assert!(!text.contains("portcullis-ledger-token"));
        }
    }
}

#[test]
fn network_policy_of_the_api_admits_its_gates_and_the_named_peers() {
    let values = "tenancy: {source: ledger}\napi: {enabled: true}\n\
        networkPolicy: {apiClients: [{namespaceSelector: {matchLabels: {name: portal}}}], apiPeers: [{ipBlock: {cidr: 10.9.0.7/32}}]}\n";
    let (_dir, file) = scratch("values.yaml", values);
    let words = ["--values", file.to_str().unwrap()];
    let Some(text) = render(&words) else { return };
    let all = documents(&text);
    let of_api = |document: &&Value| {
        document["kind"] == "NetworkPolicy" && document["metadata"]["name"] == "portcullis-api"
    };
    let closed = &all.iter().find(of_api).unwrap()["spec"];
    let gates =
        |document: &&Value| document["kind"] == "Deployment" && document["metadata"]["name"] == "portcullis";
    let gates = &all.iter().find(gates).unwrap()["spec"]["selector"]["matchLabels"];
    let portal = json!({"namespaceSelector": {"matchLabels": {"name": "portal"}}});
    assert_eq!(closed["ingress"][0]["from"], json!([{"podSelector": {"matchLabels": gates}}, portal]));
    let egress = closed["egress"].as_array().unwrap();
    assert_eq!(egress.len(), 2, "{egress:?}");
    assert_eq!(egress[0]["ports"][0]["port"], 53);
    assert_eq!(egress[1]["to"], json!([{"ipBlock": {"cidr": "10.9.0.7/32"}}]));
    let open =
        [&words[..], &["--set", "networkPolicy.enabled=false", "--set", "webhook.allowAnyCaller=true"]];
    let Some(text) = render(&open.concat()) else { return };
    assert!(!documents(&text).iter().any(|document| document["kind"] == "NetworkPolicy"));
}

/// Nobody who scans may read a Secret or write anything but whose turn it is.
#[test]
fn a_gate_that_scans_may_list_and_take_turns() {
    let words = ["--set", "scan.every=1h,tenancy.existingConfigMap=t"];
    let Some(text) = render(&words) else { return };
    let documents = documents(&text);
    let pod = &of_kind(&documents, "Deployment")["spec"]["template"]["spec"];
    assert!(args(&pod["containers"][0]).contains(&"--scan-every=1h"));
    assert_eq!(pod["automountServiceAccountToken"], true);
    let role = |kind: &str| {
        let named =
            |document: &&Value| document["kind"] == kind && document["metadata"]["name"] == "portcullis-scan";
        documents.iter().find(named).unwrap_or_else(|| panic!("no {kind}"))
    };
    for rule in role("ClusterRole")["rules"].as_array().unwrap() {
        assert_eq!(rule["verbs"], json!(["list"]));
        let secrets = |one: &serde_json::Value| one == "secrets" || one == "*" && rule["apiGroups"][0] == "";
        assert!(!rule["resources"].as_array().unwrap().iter().any(secrets), "{rule}");
    }
    for rule in role("Role")["rules"].as_array().unwrap() {
        assert_eq!(rule["resources"], json!(["leases"]));
    }
    assert_ne!(of_kind(&documents, "NetworkPolicy")["spec"]["egress"], json!([]));
}

/// What the gate needs, and nothing that it does not need.
#[test]
fn a_gate_that_keeps_its_own_certificate_may_do_that_alone() {
    let words = ["--set", "tls.mode=selfManaged,tenancy.existingConfigMap=t,cluster.watchNamespaces=false"];
    let Some(text) = render(&words) else { return };
    let documents = documents(&text);
    check_deployment(of_kind(&documents, "Deployment"));
    let words = &of_kind(&documents, "Deployment")["spec"]["template"]["spec"]["containers"][0];
    for flag in [
        "--tls-secret=portcullis-system/portcullis-tls",
        "--tls-name=portcullis.portcullis-system.svc",
        "--tls-cert-validity=2160h",
        "--tls-ca-validity=8760h",
    ] {
        assert!(args(words).contains(&flag), "{flag}");
    }
    assert!(!text.contains("cert-manager.io"), "nobody else is asked");
    let needs = certificates::needs("portcullis-system", "portcullis-tls").into_iter();
    let needs: Vec<Need> = needs.chain(probe::needs("portcullis")).collect();
    assert_eq!(granted(&documents), needed(&needs));
    assert_eq!(of_kind(&documents, "NetworkPolicy")["spec"]["egress"].as_array().unwrap().len(), 1);

    let words =
        ["--set", "tls.verifyCaBundle=true,tenancy.existingConfigMap=t,cluster.watchNamespaces=false"];
    let documents = self::documents(&render(&words).unwrap());
    check_deployment(of_kind(&documents, "Deployment"));
    assert_eq!(granted(&documents), needed(&probe::needs("portcullis")), "others write the files");
}

fn needed(needs: &[Need]) -> BTreeSet<String> {
    let name = |need: &Need| need.name.clone().unwrap_or_default();
    needs.iter().map(|need| format!("{} {} {}", need.verb, need.resource, name(need))).collect()
}

/// Verb, resource and name of all that the roles grant.
fn granted(documents: &[Value]) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for kind in ["Role", "ClusterRole"] {
        for role in documents.iter().filter(|document| document["kind"] == kind) {
            let (name, binding) = (&role["metadata"]["name"], format!("{kind}Binding"));
            let of_it = |document: &&Value| {
                document["kind"] == binding.as_str() && document["metadata"]["name"] == *name
            };
            let binding = documents.iter().find(of_it).unwrap();
            assert_eq!(binding["roleRef"]["name"], *name);
            let account =
                json!({"kind": "ServiceAccount", "name": "portcullis", "namespace": "portcullis-system"});
            assert_eq!(binding["subjects"], json!([account]));
            let rules = role["rules"].as_array().unwrap();
            rules.iter().for_each(|rule| grant(rule, &mut all));
        }
    }
    all
}

fn grant(rule: &Value, all: &mut BTreeSet<String>) {
    let words = |key: &str| -> Vec<&str> {
        rule[key].as_array().into_iter().flatten().map(|word| word.as_str().unwrap()).collect()
    };
    let name = words("resourceNames").first().copied().unwrap_or_default();
    for resource in words("resources") {
        all.extend(words("verbs").iter().map(|verb| format!("{verb} {resource} {name}")));
    }
}

#[test]
fn what_is_followed_of_the_cluster_may_be_and_no_more() {
    let none = "tenancy.existingConfigMap=t,cluster.watchNamespaces=false";
    let all = "tenancy.existingConfigMap=t,cluster.policyConfigMaps=x=y,cluster.manageCaBundle=true";
    let home = "portcullis-system";
    let needs = view::NEEDS.into_iter().chain(configmaps::needs(home)).chain([events::need(home)]);
    let needs: Vec<Need> = needs.chain(ca_bundle::needs("portcullis")).collect();
    for (values, flags, needs) in [
        (none, &[][..], &[][..]),
        ("tenancy.existingConfigMap=t", &["--watch-namespaces"], &view::NEEDS),
        (
            all,
            &[
                "--watch-namespaces",
                "--policy-configmaps=x=y",
                "--manage-ca-bundle=portcullis-system/portcullis",
            ],
            &needs,
        ),
    ] {
        // `=` in a value is fine, a comma is not.
        let Some(text) = render(&["--set", values]) else { return };
        let documents = documents(&text);
        let deployment = of_kind(&documents, "Deployment");
        check_deployment(deployment);
        let words = args(&deployment["spec"]["template"]["spec"]["containers"][0]);
        assert!(flags.iter().all(|flag| words.contains(flag)), "{words:?}");
        assert_eq!(granted(&documents), needed(needs));
        let egress = of_kind(&documents, "NetworkPolicy")["spec"]["egress"].as_array().unwrap().len();
        assert_eq!(egress, usize::from(!flags.is_empty()));
        assert_eq!(text.contains("inject-ca-from"), values != all, "one of both writes caBundle");
    }
}

#[test]
fn what_would_not_work_is_refused_before_it_is_installed() {
    let tenancy = "tenancy.existingConfigMap=t";
    for (words, sentence) in [
        (&[][..], "a gate without a snapshot is never ready"),
        (&[tenancy, "replicaCount=3"], "replicaCount"),
        (&[tenancy, "webhook.failurePolicy=Maybe"], "failurePolicy"),
        (&[tenancy, "webhook.tenantPrefix=tn-"], "tenantPrefix"),
        (&[tenancy, "drain.delaySeconds=500"], "delaySeconds"),
        (&[tenancy, "policies.source=files"], "policies.files is empty"),
        (&["tenancy.source=ledger"], "set ledger.url"),
        (&["tenancy.source=ledger", "ledger.url=http://ledger"], "url"),
    ] {
        let words: Vec<&str> = words.iter().flat_map(|word| ["--set", word]).collect();
        let Some(done) = helm(&[&ADDRESSES, &words[..]].concat()) else { return };
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(!done.status.success() && said.contains(sentence), "{words:?}: {said}");
    }
}

#[test]
fn chart_without_a_bound_on_callers_does_not_render() {
    let tenancy = ["--set", "tenancy.existingConfigMap=t"];
    for (words, renders) in [
        ("clientAuth.enabled=false", false),
        ("clientAuth.enabled=true,clientAuth.mode=optional", false),
        ("networkPolicy.enabled=false,networkPolicy.controlPlaneCIDRs={10.0.0.0/28}", false),
        ("clientAuth.enabled=true", true),
        ("networkPolicy.controlPlaneCIDRs={10.0.0.0/28}", true),
        ("webhook.allowAnyCaller=true", true),
    ] {
        let Some(done) = helm(&[&tenancy[..], &["--set", words]].concat()) else { return };
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.success(), renders, "{words}: {said}");
        let named = ["networkPolicy.controlPlaneCIDRs", "clientAuth.enabled", "webhook.allowAnyCaller"];
        assert!(renders || named.iter().all(|value| said.contains(value)), "{words}: {said}");
    }
}

/// The plain manifests are the chart's, so that one of them cannot grow old alone.
#[test]
fn plain_manifests_are_the_charts() {
    let enabled = [
        "webhook.allowAnyCaller=true",
        "tenancy.existingConfigMap=portcullis-tenancy",
        "monitoring.serviceMonitor.enabled=true",
        "monitoring.rules.enabled=true",
    ];
    let words: Vec<&str> = enabled.iter().flat_map(|word| ["--set", word]).collect();
    let Some(text) = render_alone(&words) else { return };
    let chart: Vec<Value> = documents(&text).into_iter().map(plain).collect();
    let mut names = Vec::new();
    for file in ["gate.yaml", "monitoring.yaml"] {
        for document in documents(&std::fs::read_to_string(root().join("deploy").join(file)).unwrap()) {
            let same = |other: &&Value| {
                other["kind"] == document["kind"] && other["metadata"]["name"] == document["metadata"]["name"]
            };
            assert_eq!(chart.iter().find(same), Some(&document), "deploy/{file}");
            names.push(document["kind"].as_str().unwrap().to_owned());
        }
    }
    for kind in [
        "ServiceAccount",
        "ClusterRole",
        "ClusterRoleBinding",
        "Deployment",
        "Service",
        "PodDisruptionBudget",
        "NetworkPolicy",
        "ServiceMonitor",
        "PrometheusRule",
    ] {
        assert!(names.iter().any(|name| name == kind), "deploy/ has no {kind}");
    }
    let dockerfile = std::fs::read_to_string(Path::new(root()).join("deploy/Dockerfile")).unwrap();
    assert!(dockerfile.contains("USER 65532:65532"));
}

/// Without what only Helm writes.
fn plain(mut value: Value) -> Value {
    match &mut value {
        Value::Object(map) => {
            for label in ["app.kubernetes.io/instance", "app.kubernetes.io/managed-by", "helm.sh/chart"] {
                map.remove(label);
            }
            map.values_mut().for_each(|inner| *inner = plain(inner.take()));
        }
        Value::Array(list) => list.iter_mut().for_each(|inner| *inner = plain(inner.take())),
        _ => {}
    }
    value
}
