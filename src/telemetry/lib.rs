//! The operational log, the metrics, the decision log, and the masking of secrets in it.
//!
//! The subscriber ([`log::init`]) and the metrics are global; the decision log is a value. Call `log::init` first, so that
//! later errors are logged. A review waits for none of them.

pub mod decisions;
pub mod escape;
pub mod gzip;
pub mod labels;
pub mod log;
pub mod mask;
pub mod metrics;

#[derive(Debug, Clone, clap::Args)]
pub struct TelemetryArgs {
    #[command(flatten)]
    pub log: log::LogArgs,

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
        let command_line = std::iter::once("x").chain(arguments.iter().copied());
        Command::try_parse_from(command_line).err().map(|error| error.to_string()).unwrap_or_default()
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
    fn invalid_value_names_its_flag() {
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
