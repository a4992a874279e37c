//! The operational log: what the process does, on stderr, as text or as JSON lines. The rules are in `docs/logging.md`.
//!
//! Reviews do not write here (the decision log tells them), so the synchronous write to stderr is not on their path.

use std::fmt;
use std::io::IsTerminal;
use std::str::FromStr;
use std::sync::Mutex;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

/// The flags of the operational log.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Logging")]
pub struct LogArgs {
    /// How the operational log is written to stderr
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text", env = "PORTCULLIS_LOG_FORMAT")]
    pub log_format: Format,

    /// What the operational log tells: a level, or directives such as `info,portcullis::policy=debug`
    #[arg(long, value_name = "FILTER", default_value = "info", env = "PORTCULLIS_LOG")]
    pub log_level: Filter,
}

/// How a line of the operational log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// One line for people, coloured on a terminal
    Text,
    /// One JSON object a line
    Json,
}

/// Checked filter directives of `tracing`: a level, or `target=level` joined by commas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter(String);

/// Why the operational log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The directives of `--log-level` do not parse.
    #[error(
        "`{filter}` is not a log filter; give a level such as `info`, or directives such as `info,portcullis=debug`"
    )]
    Filter {
        /// What was given.
        filter: String,
        /// What the parser says.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// Another subscriber is installed already.
    #[error("the operational log cannot start, because this process logs elsewhere already")]
    Taken(#[source] tracing_subscriber::util::TryInitError),
}

/// Sends `tracing` events of this process to stderr from now on. The first successful call counts; later ones do nothing,
/// so that many tests of one process may call it.
pub fn init(args: &LogArgs) -> Result<(), LogError> {
    static DONE: Mutex<bool> = Mutex::new(false);
    let mut done = DONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if *done {
        return Ok(());
    }
    // A line that cannot be written is lost. To complain of it on stderr, which is what cannot be written, is a panic, and a
    // full disk below the log would end the gate.
    let builder = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .log_internal_errors(false)
        .with_env_filter(args.log_level.parse()?);
    match args.log_format {
        Format::Text => builder.with_ansi(std::io::stderr().is_terminal()).finish().try_init(),
        Format::Json => builder
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .finish()
            .try_init(),
    }
    .map_err(LogError::Taken)?;
    *done = true;
    Ok(())
}

// === impl Filter ===

impl Filter {
    fn parse(&self) -> Result<EnvFilter, LogError> {
        EnvFilter::builder()
            .parse(&self.0)
            .map_err(|source| LogError::Filter { filter: self.0.clone(), source })
    }
}

impl FromStr for Filter {
    type Err = LogError;

    fn from_str(text: &str) -> Result<Self, LogError> {
        let filter = Self(text.to_owned());
        filter.parse().map(|_| filter)
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initialising_twice_is_fine() {
        let args = LogArgs { log_format: Format::Json, log_level: Filter("warn".to_owned()) };
        init(&args).unwrap();
        init(&args).unwrap();
    }

    #[test]
    fn a_filter_is_checked_where_it_is_given() {
        assert!("info,portcullis::policy=debug".parse::<Filter>().is_ok());
        let error = "portcullis=loud".parse::<Filter>().unwrap_err().to_string();
        assert!(error.starts_with("`portcullis=loud` is not a log filter"), "{error}");
    }
}
