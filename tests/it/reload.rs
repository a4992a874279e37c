//! Law, tenants and certificates changed under a running gate: the next review sees the new ones, and none fails.

mod broken; // what cannot be taken, and what stays in force meanwhile
mod changes; // what is taken, whichever way it is written
mod kept; // a start with a broken law and a last good one
mod repeats; // a patch that is not idempotent

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::wire::{Ask, SANDBOX, Wire};
use crate::support::{Gate, Options, wait};

/// How long a change may take on a loaded machine. The promise is 50 ms; what it took is printed.
const MOMENTS: Duration = Duration::from_secs(5);

/// A law that denies every ConfigMap, twice, and says which version it is. In `pad` comments, so that it can be long.
fn law(version: u32) -> String {
    let rules = format!(
        "deny contains \"first {version}.\" if input.request.name\n\ndeny contains \"second {version}.\" if input.request.namespace"
    );
    crate::broken_laws::policy("law", "", &rules)
}

/// The message of a ConfigMap's review; empty where it is allowed.
fn said(gate: &Gate) -> String {
    gate.ask("validate", &Ask::configmap(SANDBOX, "").body()).message().to_owned()
}

/// Waits until a version of [`law`] decides, and tells how long it took.
fn decides(gate: &Gate, what: &str, version: u32) {
    soon(what, || said(gate).contains(&format!("[law] first {version}.")));
}

/// Waits until something holds, in moments.
#[expect(clippy::print_stderr, reason = "how long it took is worth reading and not worth failing for")]
fn soon(what: &str, mut holds: impl FnMut() -> bool) {
    let before = Instant::now();
    wait(MOMENTS, || holds().then_some(()));
    eprintln!("{what}: {:?}", before.elapsed());
}

/// Lets some time go by in which nothing may happen.
fn pause(millis: u64) {
    let before = Instant::now();
    wait(MOMENTS, || (before.elapsed() >= Duration::from_millis(millis)).then_some(()));
}

/// Writes aside and renames, as careful people do.
fn put(path: &Path, text: &str) {
    let aside = path.with_extension("part");
    std::fs::write(&aside, text).unwrap();
    std::fs::rename(aside, path).unwrap();
}

/// What `/readyz` says of a condition: whether the gate is ready, and the detail.
fn readiness(gate: &Gate, name: &str) -> (u16, String) {
    let (status, page) = gate.get("/readyz");
    let page: serde_json::Value = serde_json::from_str(&page).unwrap();
    let condition = page["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .find(|condition| condition["name"] == name)
        .unwrap()
        .clone();
    (status, condition["reason"].as_str().unwrap_or_default().to_owned())
}

fn gate(policies: &Path) -> Gate {
    Gate::start(&Options { policies: Some(policies), ..Options::default() })
}

/// A ConfigMap mount: files are symlinks into `..data`, a symlink to the directory of a version.
struct Mount(PathBuf);

impl Mount {
    fn new(path: PathBuf, names: &[&str]) -> Self {
        std::fs::create_dir_all(&path).unwrap();
        for name in names {
            std::os::unix::fs::symlink(Path::new("..data").join(name), path.join(name)).unwrap();
        }
        Self(path)
    }

    /// A new version, as the kubelet lays it: beside the old one, then one rename, then the old one is removed.
    fn lay(&self, version: &str, files: &[(&str, &str)]) {
        let (dir, old) = (self.0.join(version), std::fs::read_link(self.0.join("..data")).ok());
        std::fs::create_dir(&dir).unwrap();
        for (name, text) in files {
            std::fs::write(dir.join(name), text).unwrap();
        }
        std::os::unix::fs::symlink(version, self.0.join("..data_tmp")).unwrap();
        std::fs::rename(self.0.join("..data_tmp"), self.0.join("..data")).unwrap();
        if let Some(old) = old {
            std::fs::remove_dir_all(self.0.join(old)).unwrap();
        }
    }
}

/// Sends reviews on several connections while `work` goes on, and hands each message to `check`; how many there were.
fn under_load(gate: &Gate, check: impl Fn(&str) + Sync, work: impl FnOnce()) -> usize {
    let (wires, done) = ([gate.dial(), gate.dial(), gate.dial()], AtomicBool::new(false));
    let asker = |mut wire: Wire| {
        let mut count = 0;
        while !done.load(Ordering::Relaxed) {
            let reply = wire.post("/validate", Some("application/json"), &Ask::configmap(SANDBOX, "").body());
            assert_eq!(reply.status, 200, "{}", reply.text());
            check(crate::support::wire::read(&reply.body).message());
            count += 1;
        }
        count
    };
    std::thread::scope(|scope| {
        let asker = &asker;
        let askers = wires.map(|wire| scope.spawn(move || asker(wire)));
        let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        done.store(true, Ordering::Relaxed);
        let counts = askers.map(|asker| asker.join().unwrap());
        worked.unwrap();
        counts.iter().sum()
    })
}
