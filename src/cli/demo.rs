//! `portcullis demo`: runs a gate on loopback, sends it writes of several test users, and prints the verdicts.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};
use anyhow::{Context as _, bail};
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{Cell, Color, ContentArrangement, Table};
use serde_json::Value as Json;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::Exit;
use portcullis_admission::Endpoint;
use portcullis_admission::cases::{self, Answer, Case, Word};
use portcullis_certs::develop::{CertificateAuthority, Use};
use portcullis_policy::source::embedded_files;

/// The tenancy and the test users are those of the test cases.
use portcullis_tenancy::example::DOCUMENT as TENANCY;
const TEST_USERS: &str = include_str!("../../tests/cases/test-users.yaml");
const WRITES: &str = include_str!("demo/writes.yaml");

/// The gate needs about 100 ms.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Directory for policies, tenancy and certificates, which you can edit while the gate runs
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,

    /// Exit after the table, as without a terminal
    #[arg(long)]
    once: bool,
}

pub fn run(args: Args) -> anyhow::Result<Exit> {
    let dir = args.dir.unwrap_or_else(|| std::env::temp_dir().join("portcullis-demo"));
    ensure_demo_directory(&dir)?;
    lay_out(&dir).with_context(|| format!("cannot write `{}` of --dir", dir.display()))?;
    let started = Instant::now();
    let mut gate = Gate::start(&dir)?;
    let ready = gate.ready(&dir)?;
    print_addresses(&dir, &ready, started.elapsed());

    let caller = Caller::new(&ready.webhook, &dir.join("ca.pem"))?;
    let test_users = test_users()?;
    let writes =
        cases::parse("writes.yaml", WRITES, &test_users).map_err(|errors| anyhow::anyhow!("{errors:?}"))?;
    let before = metrics(&ready.admin)?;
    // The first call includes the TLS handshake; an API server keeps its connections open.
    if let Some(first) = writes.first() {
        caller.post("validate", &first.body)?;
    }
    // Each write is sent twice and the second result is shown: the first of a kind also compiles its plan.
    for write in &writes {
        caller.write(write)?;
    }
    let results = writes.iter().map(|write| caller.write(write)).collect::<anyhow::Result<Vec<_>>>()?;
    print_results(&results);
    print_metric_changes(&before, &metrics(&ready.admin)?);
    let expected = results.iter().filter(|result| result.differences.is_empty()).count();
    print_next_steps(&dir, &ready);
    if std::io::stdout().is_terminal() && !args.once {
        anstream::println!("\nthe gate stays up; Ctrl-C ends it");
        gate.wait()?;
    }
    Ok(if expected == results.len() { Exit::Ok } else { Exit::Findings })
}

fn test_users() -> anyhow::Result<cases::TestUsers> {
    serde_saphyr::from_str(TEST_USERS).context("the test users of the demo")
}

/// Marks a directory that the demo has created.
const MARK: &str = ".portcullis-demo";

/// Never writes into a directory with files of the user.
fn ensure_demo_directory(dir: &Path) -> anyhow::Result<()> {
    let empty = std::fs::read_dir(dir).map_or(true, |mut entries| entries.next().is_none());
    if empty || dir.join(MARK).exists() {
        return Ok(());
    }
    bail!(
        "`{}` of --dir holds files that the demo did not create; name an empty directory or one that does not exist",
        dir.display()
    )
}

/// Writes all files that the gate reads, so that the user can edit them. Files that the user added stay.
fn lay_out(dir: &Path) -> anyhow::Result<()> {
    let policies = dir.join("policies");
    std::fs::create_dir_all(&policies)?;
    std::fs::write(dir.join(MARK), "")?;
    for (path, contents) in embedded_files() {
        let file = policies.join(path);
        std::fs::create_dir_all(file.parent().unwrap_or(&policies))?;
        std::fs::write(file, contents)?;
    }
    std::fs::write(dir.join("tenancy.yaml"), TENANCY)?;
    let ca = CertificateAuthority::new("Portcullis demo")?;
    let certificate = ca.issue(&["localhost".to_owned(), "127.0.0.1".to_owned()], Use::Server)?;
    certificate.write(&dir.join("tls.pem"), &dir.join("tls-key.pem"))?;
    std::fs::write(dir.join("ca.pem"), ca.cert_pem())?;
    Ok(())
}

/// A child process that ends with the demo.
struct Gate(Child);

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
                bail!("the gate ended with {status} before it was ready; its log is above");
            }
            let _ = never.recv_timeout(Duration::from_millis(2));
        }
        bail!("the gate was not ready within {PATIENCE:?}")
    }

    /// Waits until the gate exits or the demo is interrupted; the gate never outlives the demo.
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

/// Calls the gate as kube-apiserver does: `/mutate`, then `/validate` with the patched object, on one TLS connection.
pub struct Caller {
    agent: Agent,
    base: String,
}

pub struct Outcome {
    description: String,
    user: String,
    verdict: Word,
    /// The first line of the denial, the first warning, or the patched paths.
    reason: String,
    /// Round trip of the validating call.
    took: Duration,
    /// Differences from the expected verdict; empty if there are none.
    differences: Vec<String>,
}

impl Caller {
    pub fn new(address: &str, authority: &Path) -> anyhow::Result<Self> {
        let pem = std::fs::read(authority)?;
        let certificate = Certificate::from_pem(&pem).context("the CA certificate of the demo")?;
        let tls = TlsConfig::builder().root_certs(RootCerts::new_with_certs(&[certificate])).build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(10)));
        Ok(Self { agent: config.build().into(), base: format!("https://{address}") })
    }

    pub fn post(&self, path: &str, body: &[u8]) -> anyhow::Result<Vec<u8>> {
        let url = format!("{}/{path}?timeout=3s", self.base);
        let mut response = self.agent.post(&url).content_type("application/json").send(body)?;
        Ok(response.body_mut().read_to_vec()?)
    }

    /// Calls `/mutate` only if there is an object to patch.
    pub fn write(&self, case: &Case) -> anyhow::Result<Outcome> {
        let mut review: Json = serde_json::from_slice(&case.body)?;
        let mut patched = String::new();
        if matches!(review.pointer("/request/operation").and_then(Json::as_str), Some("CREATE" | "UPDATE")) {
            let answer = read(&self.post(Endpoint::Mutate.as_str(), &case.body)?)?;
            patched = apply(&mut review, &answer)?;
        }
        let body = serde_json::to_vec(&review)?;
        let before = Instant::now();
        let bytes = self.post(Endpoint::Validate.as_str(), &body)?;
        let took = before.elapsed();
        let answer = read(&bytes)?;
        Ok(Outcome {
            description: case.why.clone(),
            user: username(&review),
            verdict: answer.verdict(),
            reason: reason(&answer, &patched),
            took,
            differences: case.expect.check(&case.body, &answer),
        })
    }
}

pub fn metrics(address: &str) -> anyhow::Result<String> {
    Ok(ureq::get(format!("http://{address}/metrics")).call()?.body_mut().read_to_string()?)
}

fn read(bytes: &[u8]) -> anyhow::Result<Answer> {
    Answer::read(bytes).map_err(|error| anyhow::anyhow!("{error}: {}", String::from_utf8_lossy(bytes)))
}

fn apply(review: &mut Json, answer: &Answer) -> anyhow::Result<String> {
    let operations: json_patch::Patch = serde_json::from_value(Json::from(answer.patch().to_vec()))?;
    if let Some(object) = review.pointer_mut("/request/object") {
        json_patch::patch(object, &operations)?;
    }
    let labels = operations.0.iter().map(|operation| operation.path().to_string()).collect::<Vec<_>>();
    Ok(if labels.is_empty() { String::new() } else { format!("patched: {}", labels.join(", ")) })
}

fn username(review: &Json) -> String {
    review.pointer("/request/userInfo/username").and_then(Json::as_str).unwrap_or("?").to_owned()
}

fn reason(answer: &Answer, patched: &str) -> String {
    let first = answer.message().lines().next().unwrap_or_default();
    if !first.is_empty() {
        return first.to_owned();
    }
    answer.warnings().first().map_or_else(|| patched.to_owned(), |warning| format!("warning: {warning}"))
}

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const CYAN: Style = AnsiColor::Cyan.on_default();

fn print_addresses(dir: &Path, ready: &Ready, took: Duration) {
    anstream::println!("{BOLD}Portcullis{BOLD:#} is up after {} ms", took.as_millis());
    anstream::println!("  webhook  {CYAN}https://{}{CYAN:#}  (POST /validate, POST /mutate)", ready.webhook);
    anstream::println!(
        "  admin    {CYAN}http://{}{CYAN:#}   (/livez /readyz /metrics /version)",
        ready.admin
    );
    anstream::println!(
        "  files    {}  {DIM}(policies, tenancy.yaml, certificates, decisions.jsonl){DIM:#}\n",
        dir.display()
    );
}

fn print_results(results: &[Outcome]) {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    if !table.is_tty() {
        table.set_width(160);
    }
    table.set_header(["user", "request", "verdict", "reason", "µs"]);
    for result in results {
        let (word, color) = match result.verdict {
            Word::Allow if result.reason.starts_with("warning:") => ("warn", Color::Yellow),
            Word::Allow => ("allow", Color::Green),
            Word::Deny => ("DENY", Color::Red),
            Word::Error => ("ERROR", Color::Magenta),
        };
        table.add_row([
            Cell::new(short(&result.user)),
            Cell::new(&result.description),
            Cell::new(word).fg(color),
            Cell::new(&result.reason),
            Cell::new(result.took.as_micros().to_string()).set_alignment(comfy_table::CellAlignment::Right),
        ]);
    }
    anstream::println!("{table}");
    for result in results.iter().filter(|result| !result.differences.is_empty()) {
        anstream::println!(
            "{}: not as the demo expects: {}",
            result.description,
            result.differences.join("; ")
        );
    }
    let fastest = results.iter().map(|result| result.took.as_micros()).min().unwrap_or_default();
    anstream::println!(
        "{DIM}µs: round trip of the validating call over TLS on one kept-alive connection, fastest {fastest}{DIM:#}\n"
    );
}

/// `system:serviceaccount:NAMESPACE:NAME` as `NAMESPACE/NAME`.
fn short(who: &str) -> String {
    who.strip_prefix("system:serviceaccount:")
        .map_or_else(|| who.to_owned(), |rest| rest.replacen(':', "/", 1))
}

fn print_metric_changes(before: &str, after: &str) {
    let before = counters(before);
    anstream::println!("{BOLD}changed metrics{BOLD:#}");
    for (series, value) in counters(after) {
        let was = before.get(&series).copied().unwrap_or(0.0);
        if value > was {
            anstream::println!("  {series} {DIM}+{}{DIM:#}", value - was);
        }
    }
    anstream::println!();
}

fn counters(text: &str) -> BTreeMap<String, f64> {
    let wanted = |line: &&str| {
        ["portcullis_admission_requests_total{", "portcullis_policy_decisions_total{"]
            .iter()
            .any(|name| line.starts_with(name))
            && !line.contains("outcome=\"pass\"")
    };
    text.lines()
        .filter(wanted)
        .filter_map(|line| line.rsplit_once(' '))
        .filter_map(|(series, value)| Some((series.to_owned(), value.parse().ok()?)))
        .collect()
}

fn print_next_steps(dir: &Path, ready: &Ready) {
    let dir = dir.display();
    let program =
        std::env::current_exe().map_or_else(|_| "portcullis".to_owned(), |path| path.display().to_string());
    anstream::println!("{BOLD}try next{BOLD:#}");
    for (command, what) in [
        (format!("{program} policy list {dir}/policies"), "the policies in force"),
        (
            format!("{program} policy new no-latest-tag --dir {dir}/policies"),
            "a policy of your own: the running gate reloads it when you save",
        ),
        (format!("{program} policy test {dir}/policies"), "its tests and all others"),
        (
            format!(
                "kubectl create deployment web --image=evil.io/x --dry-run=client -o yaml | {program} review --server https://{} --ca {dir}/ca.pem --as acme-dev --namespace tn-acme-shop-sbx-001 -",
                ready.webhook
            ),
            "the verdict of this gate on any manifest, as any user",
        ),
        (format!("curl -s http://{}/metrics | grep portcullis_", ready.admin), "all metrics"),
        (format!("tail -f {dir}/decisions.jsonl"), "one JSON line a decision"),
    ] {
        anstream::println!("  {CYAN}{command}{CYAN:#}\n      {DIM}{what}{DIM:#}");
    }
}
