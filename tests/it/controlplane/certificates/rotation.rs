//! Leaf and authority change while kube-apiserver calls, and the registration is edited by hand.

use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

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
    /// Registers what is behind the balancer, with this bundle.
    fn trust(&self, bundle: &str) {
        let file = self.plane.dir.join("bundle.pem");
        std::fs::write(&file, bundle).unwrap();
        let done =
            portcullis().args(["manifests", "--url", &self.url, "--ca-bundle"]).arg(file).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let text = String::from_utf8(done.stdout).unwrap();
        let line = "kubectl apply --server-side --force-conflicts -f -";
        let done = self.plane.shell("root", line, Some(&text));
        assert!(done.ok, "{}", done.err);
    }

    /// By hand: an empty bundle in the first webhook of one of them.
    fn spoil(&self, kind: &str, bundle: &str) {
        use base64::Engine as _;
        let value = base64::engine::general_purpose::STANDARD.encode(bundle);
        let patch = json!([{"op": "replace", "path": "/webhooks/0/clientConfig/caBundle", "value": value}]);
        let words = ["patch", kind, "portcullis", "--type=json", "-p", &patch.to_string()];
        let done = self.plane.kubectl("root", &words);
        assert!(done.ok, "{}", done.err);
    }
}

/// Hands each connection to the next of these, for as long as the process lives.
fn balancer(behind: Vec<String>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
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
    address
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
    registration: Registration<'a>,
    replicas: &'a [Replica],
    /// What is registered.
    trusted: Mutex<String>,
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

    /// Carries the Secret's bundle into the registration, as whoever registers does.
    fn carry(&self) {
        self.until_over(Duration::from_millis(300), || {
            let Some(bundle) = self.home.secret("ca.crt") else { return };
            let mut trusted = self.trusted.lock().unwrap();
            if *trusted != bundle {
                self.registration.trust(&bundle);
                *trusted = bundle;
            }
        });
    }

    fn count(&self, counter: &AtomicUsize, result: Result<(), String>) {
        counter.fetch_add(1, Ordering::Relaxed);
        if let Err(why) = result {
            self.failures.lock().unwrap().push(why);
        }
    }

    fn run(&self, story: impl FnOnce()) {
        let agent = agent(self.home.plane);
        std::thread::scope(|scope| {
            scope.spawn(|| self.carry());
            for _ in 0..3 {
                scope.spawn(|| {
                    self.until_over(Duration::from_millis(20), || {
                        self.count(&self.calls, call(self.home.plane, &agent));
                    });
                });
            }
            for replica in self.replicas {
                scope.spawn(move || {
                    self.until_over(Duration::from_millis(50), || {
                        let bundle = self.trusted.lock().unwrap().clone();
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
    // A leaf of 45 s: an authority settles for 4.5 s, and is forgotten 49.5 s after it last signed.
    let flags = ["--tls-leaf-life", "45s", "--tls-authority-life", "1h"];
    let replicas = [0, 1, 2].map(|_| home.replica(&flags));
    replicas.iter().for_each(Replica::ready);
    let url = format!("https://{}", balancer(replicas.iter().map(|one| one.listen.clone()).collect()));
    let registration = Registration { plane: &plane, url };
    let first = home.secret("ca.crt").unwrap();
    registration.trust(&first);
    let agent = agent(&plane);
    wait(PATIENCE, || call(&plane, &agent).ok());
    probe_tells_of_a_bundle_edited_by_hand(&registration, &replicas[0], &first);

    let load = Load {
        home: &home,
        registration,
        replicas: &replicas,
        trusted: Mutex::new(first.clone()),
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
        // Every replica within a second of the Secret; what kubectl takes is counted against it.
        for replica in &replicas {
            wait(Duration::from_secs(2), || (replica.serves(&first).unwrap() == der(&new)).then_some(()));
        }
        home.rotate("authority");
        let both = wait(PATIENCE, || home.secret("ca.crt").filter(|bundle| count(bundle) == 2));
        assert!(both.starts_with(&first), "the old one signs still");
        // Its place in the bundle says who signs.
        let switched = wait(PATIENCE, || home.secret("ca.crt").filter(|bundle| !bundle.starts_with(&first)));
        assert_eq!(count(&switched), 2, "the old one is trusted still");
        for replica in &replicas {
            wait(PATIENCE, || (replica.serves(&first).is_err()).then_some(()));
        }
        wait(PATIENCE * 2, || home.secret("ca.crt").filter(|bundle| count(bundle) == 1));
        wait(PATIENCE, || (count(&load.trusted.lock().unwrap()) == 1).then_some(()));
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
fn probe_tells_of_a_bundle_edited_by_hand(registration: &Registration, replica: &Replica, bundle: &str) {
    let trusted = |kind: &str, value: u8| {
        let kind = kind.trim_end_matches("webhookconfiguration");
        let line = format!("portcullis_certificate_trusted{{configuration=\"{kind}\"}} {value}\n");
        wait(PATIENCE, || replica.page("/metrics").contains(&line).then_some(()));
    };
    KINDS.iter().for_each(|kind| trusted(kind, 1));
    assert!(replica.log().contains("webhook configurations trust what is served"));
    let stranger = portcullis::certs::develop::Authority::new("somebody else").unwrap();
    for (kind, other) in [(KINDS[0], KINDS[1]), (KINDS[1], KINDS[0])] {
        for (spoilt, why) in [(stranger.cert_pem(), "UnknownIssuer"), ("", "no caBundle")] {
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
        log.contains("does not trust what is served: webhook `") && log.contains("trust what is served"),
        "{log}"
    );
}
