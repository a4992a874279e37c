//! A self-contained page without scripts; all text from objects is escaped.

use std::fmt::Write as _;
use std::io::Write;

use super::{Foot, Head, ScanFinding, ScannedObject, Sink};
use crate::cli::scan::tally::{Counts, NO_TENANT};
use portcullis_admission::verdict::clip;

const STYLE: &str = include_str!("html/page.css");
/// Characters of a text from an object.
const TEXT_MAX: usize = 1000;

/// Rows are buffered up to the limit, because the totals stand above them.
#[derive(Default)]
pub struct Html {
    rows: String,
}

impl Sink for Html {
    fn begin(&mut self, _: &mut dyn Write, _: &Head<'_>) -> anyhow::Result<()> {
        Ok(())
    }

    fn object(
        &mut self,
        _: &mut dyn Write,
        object: &ScannedObject,
        findings: &[&ScanFinding],
    ) -> anyhow::Result<()> {
        let line = if object.line == 0 { String::new() } else { format!(":{}", object.line) };
        for found in findings {
            let change = found.change.map_or_else(String::new, |change| format!(" {}", change.as_str()));
            let _ = writeln!(
                self.rows,
                "<tr><td><b class=\"{level}\">{level}</b>{change}<td>{policy}<td>{kind} {name}<td>{namespace}<td>{sentence}<td>{source}{line}",
                level = found.level.as_str(),
                policy = escape(&found.policy),
                kind = escape(&object.kind),
                name = escape(&object.name),
                namespace = escape(&object.namespace),
                sentence = escape(&found.sentence),
                source = escape(&object.source),
            );
        }
        Ok(())
    }

    fn end(&mut self, out: &mut dyn Write, head: &Head<'_>, foot: &Foot<'_>) -> anyhow::Result<()> {
        let tally = foot.tally;
        writeln!(
            out,
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n<title>Audit report: {} of {} objects denied</title>\n\
             <style>\n{STYLE}</style></head><body>\n<h1>Audit report</h1>",
            tally.total.objects - tally.clean,
            tally.total.objects,
        )?;
        writeln!(
            out,
            "<p><b>{}</b> of <b>{}</b> objects would be denied today. No policy applies to {} objects; {} could not be evaluated.\n\
             <p class=\"faint\">policies {} · snapshot {} · {} · {:.2} s",
            tally.total.objects - tally.clean,
            tally.total.objects,
            tally.outside,
            tally.unjudged_count,
            escape(head.policies.digest.get(..8).unwrap_or(&head.policies.digest)),
            head.tenancy,
            escape(&head.started),
            foot.took.as_secs_f64(),
        )?;
        let spoke = tally.policies.iter().filter(|(_, counts)| counts.objects > 0);
        let title = |id: &str| {
            head.policies.policy(id).map(|policy| policy.manifest.title.clone()).unwrap_or_default()
        };
        numbers(out, "Policy", spoke.map(|(id, counts)| (format!("{id} — {}", title(id)), counts)))?;
        let slug = |slug: &str| if slug == NO_TENANT { "(none)".to_owned() } else { slug.to_owned() };
        numbers(out, "Tenant", tally.tenants.iter().map(|(name, counts)| (slug(name), counts)))?;
        let kinds = tally.places.iter().map(|(kind, counts)| (kind.as_str().to_owned(), counts));
        numbers(out, "Namespaces", kinds)?;
        self.findings(out, foot)
    }
}

impl Html {
    fn findings(&self, out: &mut dyn Write, foot: &Foot<'_>) -> anyhow::Result<()> {
        writeln!(out, "<h2>Findings</h2>")?;
        if foot.left_out > 0 {
            writeln!(out, "<p>{} more are not listed; <code>--limit 0</code> lists all.", foot.left_out)?;
        }
        writeln!(
            out,
            "<table><thead><tr><th>Level<th>Policy<th>Object<th>Namespace<th>Message<th>Source<tbody>\n{}</table>",
            self.rows
        )?;
        let tally = foot.tally;
        if tally.unjudged_count > 0 {
            writeln!(out, "<h2>Not evaluated</h2>\n<ul>")?;
            for one in &tally.unjudged {
                let line = if one.line == 0 { String::new() } else { format!(":{}", one.line) };
                writeln!(out, "<li>{}{line}: {}", escape(&one.source), escape(&one.reason))?;
            }
            writeln!(out, "</ul>")?;
        }
        if tally.unjudged_count > tally.unjudged.len() {
            writeln!(out, "<p>and {} more", tally.unjudged_count - tally.unjudged.len())?;
        }
        Ok(writeln!(out, "</body></html>")?)
    }
}

fn numbers<'a>(
    out: &mut dyn Write,
    title: &str,
    rows: impl Iterator<Item = (String, &'a Counts)>,
) -> anyhow::Result<()> {
    writeln!(
        out,
        "<table class=\"numbers\"><thead><tr><th>{title}<th>Objects<th>Denied<th>Failed<th>Warned<th>Audited<th>Unattributed<th>New<th>Resolved<tbody>"
    )?;
    for (name, counts) in rows {
        let Counts { objects, deny, error, warn, audit, unattributed, new, resolved } = counts;
        writeln!(
            out,
            "<tr><td>{}<td>{objects}<td>{deny}<td>{error}<td>{warn}<td>{audit}<td>{unattributed}<td>{new}<td>{resolved}",
            escape(&name)
        )?;
    }
    Ok(writeln!(out, "</table>")?)
}

/// Escapes text from objects: no markup, no control characters, no change of text direction.
fn escape(text: &str) -> String {
    let mut out = String::new();
    for c in clip(text, TEXT_MAX).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}
