//! Text for people: a block per object, then tables.

use std::fmt::Write as _;
use std::io::Write;

use super::{Foot, Head, Level, ScanFinding, ScannedObject, Sink};
use crate::cli::output::{self, BAD, CARE, FAINT, GOOD, STRONG, count};
use crate::cli::scan::context::Change;
use crate::cli::scan::tally::{Counts, NO_TENANT, Unjudged};
use portcullis_admission::verdict::clip;
use portcullis_policy::Severity;

const NAME_MAX: usize = 253;
/// Listed failures.
const UNJUDGED_LISTED: usize = 50;

pub struct Text;

impl Sink for Text {
    fn begin(&mut self, _: &mut dyn Write, _: &Head<'_>) -> anyhow::Result<()> {
        Ok(())
    }

    fn object(
        &mut self,
        out: &mut dyn Write,
        object: &ScannedObject,
        findings: &[&ScanFinding],
    ) -> anyhow::Result<()> {
        Ok(out.write_all(block(object, findings).as_bytes())?)
    }

    fn end(&mut self, out: &mut dyn Write, head: &Head<'_>, foot: &Foot<'_>) -> anyhow::Result<()> {
        Ok(out.write_all(tables(head, foot).as_bytes())?)
    }
}

fn block(object: &ScannedObject, findings: &[&ScanFinding]) -> String {
    let name = if object.name.is_empty() { "(to be named)".to_owned() } else { clip(&object.name, NAME_MAX) };
    let mut text = format!("{STRONG}{} {name}{STRONG:#}", clip(&object.kind, NAME_MAX));
    // A Namespace object is its own namespace.
    if !object.namespace.is_empty() && object.resource != "namespaces" {
        let _ = write!(text, " in {}", clip(&object.namespace, NAME_MAX));
    }
    let line = if object.line == 0 { String::new() } else { format!(":{}", object.line) };
    let _ = writeln!(text, " {FAINT}· {}{line}{FAINT:#}", clip(&object.source, NAME_MAX));
    for found in findings {
        let change = match found.change {
            Some(Change::New) => format!("{BAD}new{BAD:#} "),
            Some(Change::Resolved) => format!("{GOOD}resolved{GOOD:#} "),
            Some(Change::Same) | None => String::new(),
        };
        let (style, mark) = match found.level {
            Level::Deny | Level::Error => (BAD, "✗"),
            Level::Warn => (CARE, "!"),
            Level::Audit => (FAINT, "·"),
            Level::Unattributed => (FAINT, "?"),
        };
        let _ = writeln!(text, "  {style}{mark}{style:#} {change}{}", found.sentence);
    }
    text.push('\n');
    text
}

type Number = fn(&Counts) -> usize;
type Column = (&'static str, Number);

/// Columns that are zero everywhere are omitted, except for denials.
fn columns(head: &Head<'_>, total: &Counts) -> Vec<Column> {
    let all: [(&'static str, Number, bool); 7] = [
        ("denied", |counts| counts.deny, true),
        ("failed", |counts| counts.error, total.error > 0),
        ("warned", |counts| counts.warn, total.warn > 0),
        ("audited", |counts| counts.audit, total.audit > 0),
        ("unattributed", |counts| counts.unattributed, total.unattributed > 0),
        ("new", |counts| counts.new, head.baseline.is_some()),
        ("resolved", |counts| counts.resolved, head.baseline.is_some()),
    ];
    all.into_iter().filter(|(.., shown)| *shown).map(|(name, of, _)| (name, of)).collect()
}

fn tables(head: &Head<'_>, foot: &Foot<'_>) -> String {
    let tally = foot.tally;
    let columns = columns(head, &tally.total);
    let table = |first: &[&str], rows: Vec<(Vec<String>, Counts)>| {
        let titles: Vec<&str> = first.iter().copied().chain(columns.iter().map(|(name, _)| *name)).collect();
        let mut table = output::table(&titles);
        for (words, counts) in rows {
            table.add_row(words.into_iter().chain(columns.iter().map(|(_, of)| of(&counts).to_string())));
        }
        output::lines(&table) + "\n"
    };
    let mut text = String::new();
    if foot.left_out > 0 {
        let _ = writeln!(
            text,
            "{CARE}and {} more{CARE:#} (--limit 0 lists all)\n",
            count(foot.left_out, "finding")
        );
    }
    let severity = |id: &str| head.policies.policy(id).map_or("", |policy| policy.manifest.severity.as_str());
    let spoke = tally.policies.iter().filter(|(_, counts)| counts.objects > 0);
    let mut policies: Vec<_> = spoke
        .map(|(id, counts)| (vec![named(id), severity(id).to_owned(), counts.objects.to_string()], *counts))
        .collect();
    let rank = |word: &str| Severity::parse(word);
    policies.sort_by_key(|(words, counts)| {
        (std::cmp::Reverse(words.get(1).and_then(|word| rank(word))), std::cmp::Reverse(counts.deny))
    });
    if !policies.is_empty() {
        text += &table(&["policy", "severity", "objects"], policies);
    }
    let objects = |counts: &Counts| counts.objects.to_string();
    let tenants = tally.tenants.iter().map(|(slug, counts)| (vec![tenant(slug), objects(counts)], *counts));
    text += &table(&["tenant", "objects"], tenants.collect());
    let places =
        tally.places.iter().map(|(kind, counts)| (vec![kind.as_str().to_owned(), objects(counts)], *counts));
    text += &table(&["namespaces", "objects"], places.collect());
    text += &unjudged(&tally.unjudged, tally.unjudged_count);
    text + &last(foot)
}

fn named(id: &str) -> String {
    if id.is_empty() { "(the gate itself)".to_owned() } else { id.to_owned() }
}

fn tenant(slug: &str) -> String {
    if slug == NO_TENANT { "(none)".to_owned() } else { slug.to_owned() }
}

fn unjudged(list: &[Unjudged], all: usize) -> String {
    let mut text = String::new();
    for one in list.iter().take(UNJUDGED_LISTED) {
        let line = if one.line == 0 { String::new() } else { format!(":{}", one.line) };
        let place = clip(&one.source, NAME_MAX);
        let _ = writeln!(text, "{CARE}not evaluated{CARE:#} {place}{line}: {}", clip(&one.reason, 500));
    }
    let listed = list.len().min(UNJUDGED_LISTED);
    if all > listed {
        let _ = writeln!(
            text,
            "{CARE}not evaluated{CARE:#} and {} more (--output ndjson names more)",
            all - listed
        );
    }
    text
}

fn last(foot: &Foot<'_>) -> String {
    let tally = foot.tally;
    let style = if tally.total.deny + tally.total.error > 0 { BAD } else { GOOD };
    let mut text = format!(
        "{style}{} of {} denied{style:#}, {} to which no policy applies, {} not evaluated {FAINT}in {:.2} s{FAINT:#}\n",
        tally.total.objects - tally.clean,
        count(tally.total.objects, "object"),
        tally.outside,
        tally.unjudged_count,
        foot.took.as_secs_f64(),
    );
    if tally.total.unattributed > 0 {
        let _ = writeln!(
            text,
            "{FAINT}{} unattributed: a tenant may not write the object, a controller may, and the object does not name its author (--include-unattributed lists them){FAINT:#}",
            count(tally.total.unattributed, "finding")
        );
    }
    text
}
