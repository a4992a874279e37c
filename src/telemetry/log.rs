//! The operational log on stderr, as text or as JSON lines; see `docs/logging.md`.
//!
//! Writes are synchronous; reviews are logged in the decision log instead.

use std::fmt;
use std::io::IsTerminal;
use std::str::FromStr;
use std::sync::Mutex;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Logging")]
pub struct LogArgs {
    /// Format of the operational log on stderr
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text", env = "PORTCULLIS_LOG_FORMAT")]
    pub log_format: Format,

    /// Filter of the operational log: a level, or directives such as `info,portcullis_policy=debug`
    #[arg(long, value_name = "FILTER", default_value = "info", env = "PORTCULLIS_LOG")]
    pub log_level: Filter,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Plain text, coloured on a terminal
    Text,
    /// One JSON object per line
    Json,
}

/// Directives of `tracing`: a level, or `target=level` joined by commas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter(String);

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error(
        "`{filter}` is not a log filter; set a level such as `info`, or directives such as `info,portcullis_policy=debug`"
    )]
    Filter {
        filter: String,
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    #[error("cannot start the operational log: another tracing subscriber is installed")]
    AlreadyInstalled(#[source] tracing_subscriber::util::TryInitError),
}

/// Sends `tracing` events of this process to stderr. Calls after the first successful one do nothing, because tests of one
/// process share the subscriber.
pub fn init(args: &LogArgs) -> Result<(), LogError> {
    static INITIALIZED: Mutex<bool> = Mutex::new(false);
    let mut initialized = INITIALIZED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if *initialized {
        return Ok(());
    }
    // With internal errors on, a failed write to stderr panics, and a full disk would end the process.
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
    .map_err(LogError::AlreadyInstalled)?;
    *initialized = true;
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
    fn second_initialization_succeeds() {
        let args = LogArgs { log_format: Format::Json, log_level: Filter("warn".to_owned()) };
        init(&args).unwrap();
        init(&args).unwrap();
    }

    #[test]
    fn invalid_filter_is_rejected_by_the_parser() {
        assert!("info,portcullis_policy=debug".parse::<Filter>().is_ok());
        let error = "portcullis=loud".parse::<Filter>().unwrap_err().to_string();
        assert!(error.starts_with("`portcullis=loud` is not a log filter"), "{error}");
    }
}
