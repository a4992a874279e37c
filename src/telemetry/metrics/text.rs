//! The Prometheus text format, version 0.0.4.

use std::fmt::{Display, Write};

use super::series::{Histogram, LABEL_CHARS_MAX};
use super::table::Description;

/// A page of `/metrics` while it is written.
pub(super) struct Page {
    text: String,
    /// Read once for all of `process_*`.
    pub(super) process: metrics_process::collector::Metrics,
}

/// `a="1",b="2"`, escaped, each value cut at 128 characters.
pub(super) fn labels<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::with_capacity(64);
    for (name, value) in pairs {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(name);
        text.push_str("=\"");
        for character in value.chars().take(LABEL_CHARS_MAX) {
            match character {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str("\\n"),
                other => text.push(other),
            }
        }
        text.push('"');
    }
    text
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

    /// `labels` as [`labels`] makes them, or empty.
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
