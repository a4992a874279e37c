//! Leaf and authority change while kube-apiserver calls, and the registration is edited by hand.

use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::{Value, json};

use super::replica::{der, served};
use super::{Home, PATIENCE, Replica};
use crate::controlplane::plane::Plane;
use crate::support::{portcullis, wait};

const KINDS: [&str; 2] = ["mutatingwebhookconfiguration", "validatingwebhookconfiguration"];

/// A gate's registration, as seen and changed through kubectl.
struct Registration<'a> {
    plane: &'a Plane,
    url: String,
}

impl Registration<'_> {
    /// Registers what is there, with this bundle or without one.
    fn trust(&self, bundle: &str) {
        let file = self.plane.dir.join("bundle.pem");
        std::fs::write(&file, bundle).unwrap();
        let mut command = portcullis();
        command.args(["manifests", "--url", &self.url]);
        if !bundle.is_empty() {
            command.arg("--ca-bundle").arg(file);
        }
        let done = command.output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let text = String::from_utf8(done.stdout).unwrap();
        let line = "kubectl apply --server-side --force-conflicts -f -";
        let done = self.plane.shell("root", line, Some(&text));
        assert!(done.ok, "{}", done.err);
    }

    /// By hand: an empty bundle in the first webhook of one of them.
    fn spoil(&self, kind: &str, bundle: &str) {
        let value = base64::engine::general_purpose::STANDARD.encode(bundle);
        let patch = json!([{"op": "replace", "path": "/webhooks/0/clientConfig/caBundle", "value": value}]);
        let words = ["patch", kind, "portcullis", "--type=json", "-p", &patch.to_string()];
        let done = self.plane.kubectl("root", &words);
        assert!(done.ok, "{}", done.err);
    }
}

/// Hands each connection to the next of these, for as long as the process lives.
fn balance(listener: TcpListener, behind: Vec<String>) {
    std::thread::spawn(move || {
        for (at, from) in listener.incoming().map_while(Result::ok).enumerate() {
            let Ok(to) = TcpStream::connect(&behind[at % behind.len()]) else { continue };
            for (mut from, mut to) in [(from.try_clone().unwrap(), to.try_clone().unwrap()), (to, from)] {
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Write);
                });
            }
        }
    });
}

/// A tenant who makes a namespace through kube-apiserver: refused by the gate, or the call of the webhook failed.
fn call(plane: &Plane, agent: &ureq::Agent) -> Result<(), String> {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "tn-nobody"}});
    let url = format!("{}/api/v1/namespaces?dryRun=All", plane.server);
    let post = agent.post(url).header("authorization", "Bearer acme-dev").content_type("application/json");
    let mut answer = post.send(namespace.to_string()).map_err(|error| error.to_string())?;
    let said = answer.body_mut().read_to_string().map_err(|error| error.to_string())?;
    if said.contains("denied the request") { Ok(()) } else { Err(said) }
}

fn agent(plane: &Plane) -> ureq::Agent {
    let ca = std::fs::read(plane.dir.join("ca.pem")).unwrap();
    let roots = ureq::tls::RootCerts::new_with_certs(&[ureq::tls::Certificate::from_pem(&ca).unwrap()]);
    let tls = ureq::tls::TlsConfig::builder().root_certs(roots).build();
    ureq::Agent::config_builder().tls_config(tls).http_status_as_error(false).build().into()
}

/// What happens beside each other until it is told to end.
struct Load<'a> {
    home: &'a Home<'a>,
    replicas: &'a [Replica],
    over: AtomicBool,
    calls: AtomicUsize,
    shakes: AtomicUsize,
    failures: Mutex<Vec<String>>,
}

impl Load<'_> {
    fn until_over(&self, pause: Duration, mut what: impl FnMut()) {
        let (_sender, never) = mpsc::channel::<()>();
        while !self.over.load(Ordering::Relaxed) {
            what();
            let _ = never.recv_timeout(pause);
        }
    }

    fn count(&self, counter: &AtomicUsize, result: Result<(), String>) {
        counter.fetch_add(1, Ordering::Relaxed);
        if let Err(why) = result {
            self.failures.lock().unwrap().push(why);
        }
    }

    fn run(&self, story: impl FnOnce()) {
        let agent = &agent(self.home.plane);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    self.until_over(Duration::from_millis(20), || {
                        self.count(&self.calls, call(self.home.plane, agent));
                    });
                });
            }
            for replica in self.replicas {
                scope.spawn(move || {
                    self.until_over(Duration::from_millis(50), || {
                        let bundle = registered(self.home.plane, agent);
                        self.count(&self.shakes, served(&replica.listen, &bundle).map(|_| ()));
                    });
                });
            }
            let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(story));
            self.over.store(true, Ordering::Relaxed);
            if let Err(panic) = ended {
                std::panic::resume_unwind(panic);
            }
        });
    }
}

/// Another authority than the one that signs alone; what is trusted when every replica serves a leaf of it.
fn another_authority(home: &Home<'_>, replicas: &[Replica], before: &str) -> String {
    home.rotate("authority");
    // Its place in the bundle says who signs.
    let both = wait(PATIENCE, || home.secret("ca.crt").filter(|bundle| !bundle.starts_with(before)));
    assert_eq!(count(&both), 2, "the old one is trusted still");
    for replica in replicas {
        wait(PATIENCE, || replica.serves(before).is_err().then_some(()));
    }
    both
}

/// What the configuration that decides trusts now; asked directly, for kubectl takes seconds where the machine is busy.
fn registered(plane: &Plane, agent: &ureq::Agent) -> String {
    let path = "apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/portcullis";
    let url = format!("{}/{path}", plane.server);
    let mut answer = agent.get(url).header("authorization", "Bearer root").call().unwrap();
    let found: Value = serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap();
    let value = found["webhooks"][0]["clientConfig"]["caBundle"].as_str().unwrap_or_default();
    String::from_utf8(base64::engine::general_purpose::STANDARD.decode(value).unwrap()).unwrap()
}

fn count(bundle: &str) -> usize {
    bundle.matches("BEGIN").count()
}

#[test]
fn leaf_and_authority_change_under_calls_and_none_fails() {
    let plane = Plane::start();
    // Who calls may do so as far as RBAC is concerned.
    let words =
        ["create", "clusterrolebinding", "caller", "--clusterrole=cluster-admin", "--user=alice@acme.io"];
    assert!(plane.kubectl("root", &words).ok);
    let home = Home::new(&plane, "portcullis-system");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    // A leaf of 45 s: an authority settles for 4.5 s, and is forgotten 49.5 s after it last signed. The gates carry the
    // bundle into the registration themselves.
    let lives = ["--tls-cert-validity", "45s", "--tls-ca-validity", "1h"];
    let flags = [&lives[..], &["--manage-ca-bundle", &url]].concat();
    let replicas = [0, 1, 2].map(|_| home.replica(&flags));
    replicas.iter().for_each(Replica::ready);
    balance(listener, replicas.iter().map(|one| one.listen.clone()).collect());
    let first = home.secret("ca.crt").unwrap();
    let registration = Registration { plane: &plane, url };
    registration.trust("");
    let agent = agent(&plane);
    wait(PATIENCE, || (registered(&plane, &agent) == first).then_some(()));
    wait(PATIENCE, || call(&plane, &agent).ok());

    let load = Load {
        home: &home,
        replicas: &replicas,
        over: AtomicBool::new(false),
        calls: AtomicUsize::new(0),
        shakes: AtomicUsize::new(0),
        failures: Mutex::new(Vec::new()),
    };
    load.run(|| {
        let leaf = || home.secret("tls.crt").unwrap();
        let old = leaf();
        home.rotate("leaf");
        let new = wait(PATIENCE, || Some(leaf()).filter(|leaf| *leaf != old));
        let begun = Instant::now();
        for replica in &replicas {
            wait(PATIENCE, || (replica.serves(&first).unwrap() == der(&new)).then_some(()));
        }
        eprintln!(
            "rotation: {:?} after it was seen in the Secret all replicas serve a leaf",
            begun.elapsed()
        );
        let _ = another_authority(&home, &replicas, &first);
        // The old one goes by itself.
        let second = wait(PATIENCE * 2, || home.secret("ca.crt").filter(|bundle| count(bundle) == 1));
        wait(PATIENCE, || (registered(&plane, &agent) == second).then_some(()));
        // And at once, when an operator takes it out of the Secret.
        let both = another_authority(&home, &replicas, &second);
        let third = both.split_inclusive("-----END CERTIFICATE-----\n").next().unwrap();
        let value = base64::engine::general_purpose::STANDARD.encode(third);
        home.patch(&json!({"data": {"ca.crt": value}}));
        wait(PATIENCE, || (registered(&plane, &agent) == third).then_some(()));
        let seen = load.shakes.load(Ordering::Relaxed);
        wait(PATIENCE, || (load.shakes.load(Ordering::Relaxed) > seen + 50).then_some(()));
    });
    let failures = load.failures.into_inner().unwrap();
    let (calls, shakes) = (load.calls.into_inner(), load.shakes.into_inner());
    assert!(
        failures.is_empty(),
        "{} of {calls} calls and {shakes} handshakes: {failures:#?}",
        failures.len()
    );
    assert!(calls > 500 && shakes > 500, "{calls} calls, {shakes} handshakes");
    eprintln!("rotation: {calls} calls through kube-apiserver and {shakes} handshakes, none failed");
}

/// Red within the probe's interval, each by its name, and green again when it is mended; ready all the while.
#[test]
fn the_probe_tells_of_a_bundle_that_was_edited_by_hand() {
    let plane = Plane::start();
    let home = Home::new(&plane, "portcullis-system");
    let replica = &home.replica(&["--tls-cert-validity", "1m", "--tls-ca-validity", "1h"]);
    replica.ready();
    let bundle = &home.secret("ca.crt").unwrap();
    let registration = Registration { plane: &plane, url: format!("https://{}", replica.listen) };
    registration.trust(bundle);
    let trusted = |kind: &str, value: u8| {
        let kind = kind.trim_end_matches("webhookconfiguration");
        let line = format!("portcullis_certificate_trusted{{configuration=\"{kind}\"}} {value}\n");
        wait(PATIENCE, || replica.page("/metrics").contains(&line).then_some(()));
    };
    KINDS.iter().for_each(|kind| trusted(kind, 1));
    assert!(replica.log().contains("webhook configurations trust the served certificate"));
    let stranger = portcullis_certs::develop::CertificateAuthority::new("somebody else").unwrap();
    for (kind, other) in [(KINDS[0], KINDS[1]), (KINDS[1], KINDS[0])] {
        for (spoilt, why) in [(stranger.cert_pem(), "UnknownIssuer"), ("", "caBundle is empty")] {
            registration.spoil(kind, spoilt);
            trusted(kind, 0);
            trusted(other, 1);
            replica.says("trust", why);
            let report: Value = replica.readyz().unwrap();
            assert_eq!(report["ready"], true, "{report}");
            registration.trust(bundle);
            trusted(kind, 1);
            wait(PATIENCE, || replica.reason("trust").is_empty().then_some(()));
        }
    }
    let log = replica.log();
    assert!(
        log.contains("does not trust the served certificate: webhook `")
            && log.contains("trust the served certificate"),
        "{log}"
    );
}
