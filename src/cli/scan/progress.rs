//! How far it is: on a terminal only, and only where what is printed does not go there as well.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::tally::Tally;
use crate::cli::output::count;

/// Objects between two looks at the clock.
const EVERY: usize = 64;

/// A line that tells how many objects were judged.
pub struct Progress(ProgressBar);

impl Progress {
    /// Begins one.
    pub fn begin() -> Self {
        let bar = ProgressBar::no_length();
        if std::io::stdout().is_terminal() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {per_sec} {elapsed}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }

    /// Tells how far it is.
    pub fn tell(&self, tally: &Tally) {
        let seen = tally.total.objects + tally.unjudged_count;
        if seen.is_multiple_of(EVERY) && !self.0.is_hidden() {
            self.0.set_position(u64::try_from(seen).unwrap_or(u64::MAX));
            let denied = tally.total.objects - tally.clean;
            self.0.set_message(format!("{}, {denied} denied", count(seen, "object")));
        }
    }

    /// Takes it away.
    pub fn end(self) {
        self.0.finish_and_clear();
    }
}
