//! What is printed of a scan, object by object, so that nothing has to be kept; the numbers come last.

mod html;
mod json;
mod sarif;
mod text;

use std::io::Write;
use std::time::Duration;

use clap::ValueEnum;

use super::judge::{Change, Found, Judged, Level};
use super::tally::Tally;
use portcullis_policy::PolicySet;

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Text,
    /// One document: `findings`, then the numbers
    Json,
    /// One object a line, the numbers last
    Ndjson,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// One page with everything in it
    Html,
}

impl Format {
    /// Findings that are listed where nobody says how many; 0 is all. A page is kept until its numbers are known, and a
    /// person reads no more of a list.
    const fn limit(self) -> usize {
        match self {
            Self::Text => 200,
            Self::Html => 5000,
            Self::Json | Self::Ndjson | Self::Sarif => 0,
        }
    }
}

/// What the scan is about.
#[derive(Debug, Clone)]
pub struct Head<'a> {
    /// The law that is tried.
    pub law: &'a PolicySet,
    /// Revision of the snapshot.
    pub world: u64,
    /// Digest of the law that it is compared with.
    pub against: Option<String>,
    /// When it began, RFC 3339.
    pub started: String,
}

/// How it ended.
#[derive(Debug)]
pub struct Foot<'a> {
    /// The numbers.
    pub tally: &'a Tally,
    /// How long it took.
    pub took: Duration,
    /// Findings that were not listed, because of the limit.
    pub left_out: usize,
}

/// A way of printing.
pub trait Sink {
    /// Before anything else.
    ///
    /// # Errors
    /// Standard output cannot be written.
    fn begin(&mut self, out: &mut dyn Write, head: &Head<'_>) -> anyhow::Result<()>;
    /// An object about which something is told.
    ///
    /// # Errors
    /// Standard output cannot be written.
    fn object(&mut self, out: &mut dyn Write, object: &Judged, told: &[&Found]) -> anyhow::Result<()>;
    /// After everything.
    ///
    /// # Errors
    /// Standard output cannot be written.
    fn end(&mut self, out: &mut dyn Write, head: &Head<'_>, foot: &Foot<'_>) -> anyhow::Result<()>;
}

/// Prints what is to be told, and counts what is left out.
pub struct Report<'a> {
    head: Head<'a>,
    sink: Box<dyn Sink>,
    out: Box<dyn Write>,
    doubts: bool,
    room: Option<usize>,
    left_out: usize,
}

impl<'a> Report<'a> {
    /// Begins one. `limit` is findings, 0 for all; `doubts` are told too where asked for.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn begin(
        format: Format,
        mut out: Box<dyn Write>,
        head: Head<'a>,
        limit: Option<usize>,
        doubts: bool,
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
        Ok(Self { head, sink, out, doubts, room: (limit > 0).then_some(limit), left_out: 0 })
    }

    /// Tells of an object what is to be told.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn object(&mut self, object: &Judged) -> anyhow::Result<()> {
        let wanted = |found: &&Found| {
            (self.doubts || found.level != Level::Doubt) && found.change != Some(Change::Same)
        };
        let mut told: Vec<&Found> = object.found.iter().filter(wanted).collect();
        if let Some(room) = &mut self.room {
            self.left_out += told.len().saturating_sub(*room);
            told.truncate(*room);
            *room -= told.len();
        }
        if told.is_empty() { Ok(()) } else { self.sink.object(&mut self.out, object, &told) }
    }

    /// Shows what was written so far.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn flush(&mut self) -> anyhow::Result<()> {
        Ok(self.out.flush()?)
    }

    /// Ends it with the numbers.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn end(mut self, tally: &Tally, took: Duration) -> anyhow::Result<()> {
        let foot = Foot { tally, took, left_out: self.left_out };
        self.sink.end(&mut self.out, &self.head, &foot)?;
        self.flush()
    }
}
