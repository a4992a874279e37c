//! Telling what happened: the operational log, the metrics, the decision log, and the mask that keeps secrets out of it.
//!
//! Global are only what a process has once: the subscriber of the operational log ([`log::init`]) and the counters
//! ([`metrics`]). The decision log is a value, made by [`decisions::DecisionLog::start`] and handed to whom it concerns.
//! Order at start: `log::init` first, so that every later failure is told; `metrics::install`; then the decision log.
//! Nothing here waits on the path of a review: counters are atomics, the decision log is a bounded queue.

pub mod words;

pub mod metrics;

pub mod log;

pub mod decisions;

pub mod gzip;

pub mod mask;

pub mod visible;

/// The flags of this room: the operational log's and the decision log's.
#[derive(Debug, Clone, clap::Args)]
pub struct TelemetryArgs {
    /// Format and filter of the operational log.
    #[command(flatten)]
    pub log: log::LogArgs,

    /// Where decisions are written, how many of the plain allows, and whether with their objects.
    #[command(flatten)]
    pub decisions: decisions::DecisionArgs,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        telemetry: super::TelemetryArgs,
    }

    fn error(arguments: &[&str]) -> String {
        let words = std::iter::once("x").chain(arguments.iter().copied());
        Command::try_parse_from(words).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn defaults_are_text_at_info_and_every_decision_on_stdout() {
        let args = Command::parse_from(["x"]).telemetry;
        assert_eq!(args.log.log_format, super::log::Format::Text);
        assert_eq!(args.log.log_level.to_string(), "info");
        assert_eq!(args.decisions.decision_log.to_string(), "stdout");
        assert_eq!(args.decisions.decision_log_sample.to_string(), "1");
        assert!(!args.decisions.decision_log_objects);
    }

    #[test]
    fn a_wrong_value_names_its_flag() {
        for (flag, value) in [
            ("--decision-log-sample", "1.5"),
            ("--decision-log-sample", "NaN"),
            ("--decision-log-sample", "some"),
            ("--decision-log", ""),
            ("--log-level", "portcullis=loud"),
            ("--log-format", "xml"),
        ] {
            let text = error(&[flag, value]);
            assert!(text.contains(flag), "{flag} {value}: {text}");
        }
    }
}
