//! A gate as a process: it comes, goes, freezes and dies.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::balancer::Balancer;
use crate::support::{ended, wait};

/// What all replicas have in common.
#[derive(Clone)]
pub struct Kit {
    /// The program under proof.
    pub program: PathBuf,
    /// Where they have their directories, and find what they share.
    pub dir: PathBuf,
    /// Flags of all of them.
    pub words: Vec<String>,
}

pub struct Replica {
    pub name: String,
    pub dir: PathBuf,
    pub admin: String,
    pub webhook: String,
    child: Child,
}

impl Replica {
    /// Starts one, and waits until it is ready.
    pub fn start(kit: &Kit, name: &str, more: &[&str]) -> Self {
        let dir = kit.dir.join(name);
        std::fs::create_dir_all(&dir).unwrap();
        let ready = dir.join("ready.json");
        let _ = std::fs::remove_file(&ready);
        let log = std::fs::File::options().append(true).create(true).open(dir.join("log")).unwrap();
        // A write over a bound on files must fail as on a full disk, and not end the process.
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(&kit.program);
        command.args(["serve", "--role", "gate", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
        command.arg("--ready-file").arg(&ready).arg("--snapshot-cache").arg(dir.join("cache"));
        command.arg("--state").arg(dir.join("state")).args(["--decision-log", "none"]);
        command.args(&kit.words).args(more).current_dir(&dir).env("HOME", &dir).env_remove("XDG_DATA_HOME");
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        ended::with_us(&[child.id()], &dir);
        let addresses = wait(Duration::from_mins(1), || {
            assert!(
                child.try_wait().unwrap().is_none(),
                "{}",
                std::fs::read_to_string(dir.join("log")).unwrap()
            );
            serde_json::from_str::<serde_json::Value>(&std::fs::read_to_string(&ready).ok()?).ok()
        });
        let address = |name: &str| addresses[name].as_str().unwrap().to_owned();
        Self { name: name.to_owned(), webhook: address("webhook"), admin: address("admin"), dir, child }
    }

    /// Has the balancer send it connections.
    pub fn enter(&self, balancer: &Balancer) {
        balancer.add(&self.name, &self.webhook, &self.admin);
    }

    /// Everything it has told.
    pub fn told(&self) -> String {
        std::fs::read_to_string(self.dir.join("log")).unwrap()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: &str) {
        let done = Command::new("kill").args(["-s", signal, &self.pid().to_string()]).status().unwrap();
        assert!(done.success(), "kill -s {signal}");
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Lets no file of it grow beyond so many bytes; none lifts that.
    pub fn disk(&self, bytes: Option<u64>) {
        let soft = bytes.map_or_else(|| "unlimited".to_owned(), |bytes| bytes.to_string());
        let words = [format!("--pid={}", self.pid()), format!("--fsize={soft}:")];
        assert!(Command::new("prlimit").args(words).status().unwrap().success(), "prlimit");
    }

    /// The sum of the series of a metric that hold all these words.
    pub fn metric(&self, name: &str, words: &[&str]) -> f64 {
        let mut page = ureq::get(format!("http://{}/metrics", self.admin)).call().unwrap();
        let page = page.body_mut().read_to_string().unwrap();
        let lines = page.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
                && words.iter().all(|word| line.contains(word))
        });
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }

    /// Which law it decides by.
    pub fn law(&self) -> String {
        let mut page = ureq::get(format!("http://{}/version", self.admin)).call().unwrap();
        let page: serde_json::Value =
            serde_json::from_str(&page.body_mut().read_to_string().unwrap()).unwrap();
        page["policies"].as_str().unwrap_or_default().to_owned()
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
