//! What the demo prints.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{Cell, Color, ContentArrangement, Table};

use super::Ready;
use super::caller::Outcome;
use portcullis_admission::cases::Word;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const CYAN: Style = AnsiColor::Cyan.on_default();

/// What runs, and where.
pub fn started(dir: &Path, ready: &Ready, took: Duration) {
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

/// The writes and their verdicts.
pub fn table(results: &[Outcome]) {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    if !table.is_tty() {
        table.set_width(160);
    }
    table.set_header(["who", "what", "verdict", "why", "µs"]);
    for result in results {
        let (word, color) = match result.verdict {
            Word::Allow if result.why.starts_with("warning:") => ("warn", Color::Yellow),
            Word::Allow => ("allow", Color::Green),
            Word::Deny => ("DENY", Color::Red),
            Word::Error => ("ERROR", Color::Magenta),
        };
        table.add_row([
            Cell::new(short(&result.who)),
            Cell::new(&result.what),
            Cell::new(word).fg(color),
            Cell::new(&result.why),
            Cell::new(result.took.as_micros().to_string()).set_alignment(comfy_table::CellAlignment::Right),
        ]);
    }
    anstream::println!("{table}");
    for result in results.iter().filter(|result| !result.wrong.is_empty()) {
        anstream::println!("{}: not as the demo expects: {}", result.what, result.wrong.join("; "));
    }
    let fastest = results.iter().map(|result| result.took.as_micros()).min().unwrap_or_default();
    anstream::println!(
        "{DIM}µs: round trip of the validating call over TLS on one kept-alive connection, fastest {fastest}{DIM:#}\n"
    );
}

/// A service account by its name; the rest of the username says nothing new.
fn short(who: &str) -> String {
    who.strip_prefix("system:serviceaccount:")
        .map_or_else(|| who.to_owned(), |rest| rest.replacen(':', "/", 1))
}

/// The counters that moved.
pub fn moved(before: &str, after: &str) {
    let before = counters(before);
    anstream::println!("{BOLD}metrics that moved{BOLD:#}");
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

/// What to try now.
pub fn next(dir: &Path, ready: &Ready) {
    let dir = dir.display();
    let program =
        std::env::current_exe().map_or_else(|_| "portcullis".to_owned(), |path| path.display().to_string());
    anstream::println!("{BOLD}try next{BOLD:#}");
    for (command, what) in [
        (format!("{program} policy list {dir}/policies"), "the law in force"),
        (
            format!("{program} policy new no-latest-tag --dir {dir}/policies"),
            "a policy of your own: the running gate takes it up as you save",
        ),
        (format!("{program} policy test {dir}/policies"), "its tests and all others"),
        (
            format!(
                "kubectl create deployment web --image=evil.io/x --dry-run=client -o yaml | {program} review --server https://{} --ca {dir}/ca.pem --as acme-dev --namespace tn-acme-shop-sbx-001 -",
                ready.webhook
            ),
            "any manifest, judged by this gate, as anybody",
        ),
        (format!("curl -s http://{}/metrics | grep portcullis_", ready.admin), "all metrics"),
        (format!("tail -f {dir}/decisions.jsonl"), "one JSON line a decision"),
    ] {
        anstream::println!("  {CYAN}{command}{CYAN:#}\n      {DIM}{what}{DIM:#}");
    }
}

/// That it stays.
pub fn waiting() {
    anstream::println!("\nthe gate stays up; Ctrl-C ends it");
}
