//! Prints findings object by object, so that memory does not grow with the objects; the totals come last.

mod html;
mod json;
mod sarif;
mod text;

use std::io::Write;
use std::time::Duration;

use clap::ValueEnum;

use super::context::{Change, Level, ScanFinding, ScannedObject};
use super::tally::Tally;
use portcullis_policy::PolicySet;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// Text for people
    #[default]
    Text,
    /// One JSON document: `findings`, then the totals
    Json,
    /// One JSON object per line, the totals last
    Ndjson,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// One HTML page
    Html,
}

impl Format {
    /// A page is kept in memory until the totals are known, and people read only the start of a list.
    const fn limit(self) -> usize {
        match self {
            Self::Text => 200,
            Self::Html => 5000,
            Self::Json | Self::Ndjson | Self::Sarif => 0,
        }
    }
}

#[derive(Debug, Clone)]
pub struct Head<'a> {
    pub policies: &'a PolicySet,
    /// Revision of the snapshot.
    pub tenancy: u64,
    /// Digest of the baseline.
    pub baseline: Option<String>,
    /// RFC 3339.
    pub started: String,
}

#[derive(Debug)]
pub struct Foot<'a> {
    pub tally: &'a Tally,
    pub took: Duration,
    /// Findings beyond the limit.
    pub left_out: usize,
}

pub trait Sink {
    fn begin(&mut self, out: &mut dyn Write, head: &Head<'_>) -> anyhow::Result<()>;
    fn object(
        &mut self,
        out: &mut dyn Write,
        object: &ScannedObject,
        findings: &[&ScanFinding],
    ) -> anyhow::Result<()>;
    fn end(&mut self, out: &mut dyn Write, head: &Head<'_>, foot: &Foot<'_>) -> anyhow::Result<()>;
}

pub struct Report<'a> {
    head: Head<'a>,
    sink: Box<dyn Sink>,
    out: Box<dyn Write>,
    include_unattributed: bool,
    room: Option<usize>,
    left_out: usize,
}

impl<'a> Report<'a> {
    /// `limit` is a number of findings, 0 for all.
    pub fn begin(
        format: Format,
        mut out: Box<dyn Write>,
        head: Head<'a>,
        limit: Option<usize>,
        include_unattributed: bool,
    ) -> anyhow::Result<Self> {
        let mut sink: Box<dyn Sink> = match format {
            Format::Text => Box::new(text::Text),
            Format::Json => Box::new(json::Json::document()),
            Format::Ndjson => Box::new(json::Json::lines()),
            Format::Sarif => Box::new(sarif::Sarif::default()),
            Format::Html => Box::new(html::Html::default()),
        };
        sink.begin(&mut out, &head)?;
        let limit = limit.unwrap_or(format.limit());
        Ok(Self { head, sink, out, include_unattributed, room: (limit > 0).then_some(limit), left_out: 0 })
    }

    pub fn object(&mut self, object: &ScannedObject) -> anyhow::Result<()> {
        let wanted = |found: &&ScanFinding| {
            (self.include_unattributed || found.level != Level::Unattributed)
                && found.change != Some(Change::Same)
        };
        let mut findings: Vec<&ScanFinding> = object.findings.iter().filter(wanted).collect();
        if let Some(room) = &mut self.room {
            self.left_out += findings.len().saturating_sub(*room);
            findings.truncate(*room);
            *room -= findings.len();
        }
        if findings.is_empty() { Ok(()) } else { self.sink.object(&mut self.out, object, &findings) }
    }

    pub fn flush(&mut self) -> anyhow::Result<()> {
        Ok(self.out.flush()?)
    }

    pub fn end(mut self, tally: &Tally, took: Duration) -> anyhow::Result<()> {
        let foot = Foot { tally, took, left_out: self.left_out };
        self.sink.end(&mut self.out, &self.head, &foot)?;
        self.flush()
    }
}
