//! What the documents must say: every metric, flag and policy, and links that lead somewhere.

use std::path::Path;

use clap::CommandFactory as _;

use super::{files, none, shown};
use crate::support::root;

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn every_metric_is_documented() {
    let text = read("docs/metrics.md");
    let absent = portcullis_telemetry::metrics::all()
        .iter()
        .filter(|metric| !text.contains(&format!("`{}`", metric.name)));
    none(
        "metrics that docs/metrics.md does not name",
        &absent.map(|metric| metric.name.to_owned()).collect::<Vec<_>>(),
    );
}

#[test]
fn every_command_and_flag_is_documented() {
    let text = read("docs/cli.md") + &read("docs/operations.md");
    let mut command = portcullis::cli::Cli::command();
    command.build();
    let mut absent = Vec::new();
    walk(&command, "", &text, &mut absent);
    none("words of the command line that neither docs/cli.md nor docs/operations.md names", &absent);
}

fn walk(command: &clap::Command, above: &str, text: &str, absent: &mut Vec<String>) {
    let name = format!("{above}{}", command.get_name());
    if !text.contains(&name) {
        absent.push(format!("`{name}`"));
    }
    let own = command
        .get_arguments()
        .filter(|arg| !arg.is_hide_set() && !["help", "version"].contains(&arg.get_id().as_str()));
    for flag in own.filter_map(clap::Arg::get_long) {
        let flag = format!("--{flag}");
        let named = text
            .match_indices(&flag)
            .any(|(at, _)| !text[at + flag.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '-'));
        if !named {
            absent.push(format!("`{name} {flag}`"));
        }
    }
    command
        .get_subcommands()
        .filter(|below| !below.is_hide_set() && below.get_name() != "help")
        .for_each(|below| walk(below, &format!("{name} "), text, absent));
}

#[test]
fn every_policy_is_described_tried_and_listed() {
    let listed = read("policies/README.md");
    let cases: String = ["tests/cases", "policies"]
        .iter()
        .flat_map(|dir| files(&root().join(dir)))
        .filter(|path| {
            path.extension().is_some_and(|e| e == "yaml") && !shown(path).starts_with("policies/params/")
        })
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    let mut wrong = Vec::new();
    for policy in &crate::support::law().policies {
        let manifest = &policy.manifest;
        let (file, id) = (&manifest.location.0, &manifest.id);
        let test = root().join("policies").join(file.replace(".rego", "_test.rego"));
        let tried = test.exists() || cases.contains(id.as_str());
        let checks = [
            (!manifest.title.is_empty(), "has no title"),
            (!manifest.description.is_empty(), "has no description"),
            (tried, "has neither a *_test.rego beside it nor a case that names it"),
            (listed.contains(&format!("`{id}`")), "is not named in policies/README.md"),
        ];
        wrong.extend(
            checks
                .iter()
                .filter(|(right, _)| !right)
                .map(|(_, what)| format!("policies/{file}: `{id}` {what}")),
        );
    }
    none("policies", &wrong);
}

#[test]
fn links_lead_somewhere() {
    let mut wrong = Vec::new();
    for path in files(root()).into_iter().filter(|path| path.extension().is_some_and(|e| e == "md")) {
        let text = std::fs::read_to_string(&path).unwrap();
        for (line, target) in links(&text) {
            if let Err(why) = follow(&path, &target) {
                wrong.push(format!("{}:{line}: ({target}) {why}", shown(&path)));
            }
        }
    }
    none("links that lead nowhere", &wrong);
}

/// Targets of links outside code, with their line; those to other sites are left out.
fn links(text: &str) -> Vec<(usize, String)> {
    let (mut found, mut fenced) = (Vec::new(), false);
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("_");
        let targets = prose
            .split("](")
            .skip(1)
            .filter(|_| !fenced)
            .filter_map(|rest| rest.split_once(')'))
            .map(|(target, _)| target.to_owned());
        found.extend(
            targets
                .filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
                .map(|target| (number + 1, target)),
        );
    }
    found
}

fn follow(from: &Path, target: &str) -> Result<(), &'static str> {
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let path = if file.is_empty() { from.to_path_buf() } else { from.parent().unwrap().join(file) };
    if !path.exists() {
        return Err("does not exist");
    }
    if anchor.is_empty() || path.extension().is_none_or(|e| e != "md") {
        return Ok(());
    }
    let text = std::fs::read_to_string(&path).unwrap();
    let headings =
        text.lines().filter(|line| line.starts_with('#')).map(|line| slug(line.trim_start_matches('#')));
    if headings.into_iter().any(|heading| heading == anchor) { Ok(()) } else { Err("has no such heading") }
}

/// A heading's anchor, as forges make it.
fn slug(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    kept.chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}
