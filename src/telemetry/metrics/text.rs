//! The Prometheus text format 0.0.4: the description of a metric, and the page that its samples are written to.

use std::fmt::{Display, Write as _};

use super::series::Histogram;

/// A metric as `/metrics` and `docs/metrics.md` show it.
#[derive(Debug)]
pub struct Description {
    pub name: &'static str,
    /// One sentence without a final period.
    pub help: &'static str,
    pub kind: Kind,
    /// Names of its labels. Their values are a closed list, or at most 4096 values of 128 characters.
    pub labels: &'static [&'static str],
    /// `seconds`, `bytes`, or a plural noun; empty for a number without a unit.
    pub unit: &'static str,
    pub(super) write: fn(&Description, &mut Page),
}

/// The Prometheus type of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Its name ends in `_total`.
    Counter,
    Gauge,
    /// Durations in fixed buckets, in seconds.
    Histogram,
}

impl Kind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// The response of `/metrics` while it is rendered.
pub(super) struct Page {
    text: String,
    /// Read once for all of `process_*`.
    pub(super) process: metrics_process::collector::Metrics,
}

impl Page {
    pub(super) fn new() -> Self {
        Self { text: String::with_capacity(16 * 1024), process: metrics_process::collector::collect() }
    }

    pub(super) fn finish(self) -> String {
        self.text
    }

    pub(super) fn head(&mut self, metric: &Description) {
        let help = metric.help.replace('\\', "\\\\").replace('\n', "\\n");
        self.line(format_args!("# HELP {} {help}", metric.name));
        self.line(format_args!("# TYPE {} {}", metric.name, metric.kind.as_str()));
    }

    /// `labels` is rendered by [`labels`](super::series::labels), or empty.
    pub(super) fn sample(&mut self, metric: &Description, labels: &str, value: impl Display) {
        self.suffixed(metric.name, "", labels, value);
    }

    pub(super) fn histogram(&mut self, metric: &Description, labels: &str, histogram: &Histogram) {
        let (buckets, count, sum) = histogram.read();
        let comma = if labels.is_empty() { "" } else { "," };
        for (bound, cumulative) in buckets {
            self.suffixed(metric.name, "_bucket", &format!("{labels}{comma}le=\"{bound}\""), cumulative);
        }
        self.suffixed(metric.name, "_bucket", &format!("{labels}{comma}le=\"+Inf\""), count);
        self.suffixed(metric.name, "_sum", labels, sum);
        self.suffixed(metric.name, "_count", labels, count);
    }

    fn suffixed(&mut self, name: &str, suffix: &str, labels: &str, value: impl Display) {
        if labels.is_empty() {
            self.line(format_args!("{name}{suffix} {value}"));
        } else {
            self.line(format_args!("{name}{suffix}{{{labels}}} {value}"));
        }
    }

    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "{text}");
    }
}
