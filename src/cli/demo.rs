//! `portcullis demo`: the whole gate on loopback, a dozen real writes by different people, and what came of them.

mod caller;
mod show;

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use self::caller::Caller;
use super::Exit;
use portcullis_admission::cases;
use portcullis_certs::develop::{Authority, Use};
use portcullis_policy::source::embedded;

/// The world, the people and the writes of the demo. World and people are those of the test cases.
use portcullis_tenancy::example::DOCUMENT as WORLD;
const PEOPLE: &str = include_str!("../../tests/cases/people.yaml");
const WRITES: &str = include_str!("demo/writes.yaml");

/// How long the gate may take to become ready; it needs a tenth of a second.
const PATIENCE: Duration = Duration::from_secs(20);

/// Flags of `demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where policies, tenancy and certificates are written, to be edited while the gate runs
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,

    /// Go away after the table, as without a terminal
    #[arg(long)]
    once: bool,
}

/// Runs it.
///
/// # Errors
/// The gate does not start, or answers something that is no answer.
pub fn run(args: Args) -> anyhow::Result<Exit> {
    let dir = args.dir.unwrap_or_else(|| std::env::temp_dir().join("portcullis-demo"));
    ours(&dir)?;
    lay_out(&dir).with_context(|| format!("cannot write `{}` of --dir", dir.display()))?;
    let started = Instant::now();
    let mut gate = Gate::start(&dir)?;
    let ready = gate.ready(&dir)?;
    show::started(&dir, &ready, started.elapsed());

    let caller = Caller::new(&ready.webhook, &dir.join("ca.pem"))?;
    let people = people()?;
    let writes =
        cases::parse("writes.yaml", WRITES, &people).map_err(|errors| anyhow::anyhow!("{errors:?}"))?;
    let before = caller::metrics(&ready.admin)?;
    // The first call pays for the handshake; an API server keeps its connections.
    if let Some(first) = writes.first() {
        caller.post("validate", &first.body)?;
    }
    // Twice, and the second is shown: the first of a kind also makes its plan.
    for write in &writes {
        caller.write(write)?;
    }
    let results = writes.iter().map(|write| caller.write(write)).collect::<anyhow::Result<Vec<_>>>()?;
    show::table(&results);
    show::moved(&before, &caller::metrics(&ready.admin)?);
    let right = results.iter().filter(|result| result.wrong.is_empty()).count();
    show::next(&dir, &ready);
    if std::io::stdout().is_terminal() && !args.once {
        show::waiting();
        gate.wait()?;
    }
    Ok(if right == results.len() { Exit::Fine } else { Exit::Findings })
}

fn people() -> anyhow::Result<cases::People> {
    serde_saphyr::from_str(PEOPLE).context("the people of the demo")
}

/// What says that a directory was made by the demo.
const MARK: &str = ".portcullis-demo";

/// Refuses a directory with somebody's files in it.
fn ours(dir: &Path) -> anyhow::Result<()> {
    let empty = std::fs::read_dir(dir).map_or(true, |mut entries| entries.next().is_none());
    if empty || dir.join(MARK).exists() {
        return Ok(());
    }
    bail!(
        "`{}` of --dir holds files that the demo has not made; give it a directory that is empty or not there yet",
        dir.display()
    )
}

/// Writes everything that the gate reads, so that whoever tries it can change it. What somebody added stays.
fn lay_out(dir: &Path) -> anyhow::Result<()> {
    let policies = dir.join("policies");
    std::fs::create_dir_all(&policies)?;
    std::fs::write(dir.join(MARK), "")?;
    for (path, contents) in embedded::files() {
        let file = policies.join(path);
        std::fs::create_dir_all(file.parent().unwrap_or(&policies))?;
        std::fs::write(file, contents)?;
    }
    std::fs::write(dir.join("tenancy.yaml"), WORLD)?;
    let authority = Authority::new("Portcullis demo")?;
    let leaf = authority.issue(&["localhost".to_owned(), "127.0.0.1".to_owned()], Use::Server)?;
    leaf.write(&dir.join("tls.pem"), &dir.join("tls-key.pem"))?;
    std::fs::write(dir.join("ca.pem"), authority.cert_pem())?;
    Ok(())
}

/// The gate as a process of its own, ended with the demo.
struct Gate(Child);

/// Where it listens.
#[derive(serde::Deserialize)]
pub(super) struct Ready {
    webhook: String,
    admin: String,
}

impl Gate {
    fn start(dir: &Path) -> anyhow::Result<Self> {
        let ready = dir.join("ready.json");
        let _ = std::fs::remove_file(&ready);
        let log = dir.join("decisions.jsonl");
        let _ = std::fs::remove_file(&log);
        let mut command = Command::new(std::env::current_exe()?);
        command.args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
            "--drain-delay",
            "0s",
            "--log-level",
            "warn",
        ]);
        command.arg("--policies").arg(dir.join("policies")).arg("--tenancy").arg(dir.join("tenancy.yaml"));
        command.arg("--tls-cert").arg(dir.join("tls.pem")).arg("--tls-key").arg(dir.join("tls-key.pem"));
        command.arg("--ready-file").arg(ready).arg("--decision-log").arg(log);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Ok(Self(command.spawn().context("cannot start the gate")?))
    }

    fn ready(&mut self, dir: &Path) -> anyhow::Result<Ready> {
        let file = dir.join("ready.json");
        let (_sender, never) = mpsc::channel::<()>();
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Ok(text) = std::fs::read_to_string(&file) {
                return serde_json::from_str(&text).context("the ready file is no JSON");
            }
            if let Some(status) = self.0.try_wait()? {
                bail!("the gate ended with {status} before it was ready; what it said stands above");
            }
            let _ = never.recv_timeout(Duration::from_millis(2));
        }
        bail!("the gate was not ready within {PATIENCE:?}")
    }

    /// Stays until the gate ends, or somebody ends the demo; the gate never outlives it.
    fn wait(&mut self) -> anyhow::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut ends = [
                signal(SignalKind::interrupt())?,
                signal(SignalKind::terminate())?,
                signal(SignalKind::hangup())?,
            ];
            let [interrupt, terminate, hangup] = &mut ends;
            loop {
                tokio::select! {
                    _ = interrupt.recv() => return Ok(()),
                    _ = terminate.recv() => return Ok(()),
                    _ = hangup.recv() => return Ok(()),
                    () = tokio::time::sleep(Duration::from_millis(200)) => {}
                }
                if self.0.try_wait()?.is_some() {
                    return Ok(());
                }
            }
        })
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
