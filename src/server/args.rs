//! The flags of the server, their value types, and the timeouts.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};

use portcullis_lifecycle::drain;

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Server")]
pub struct ServerArgs {
    /// Address of the webhook, with TLS; port 0 selects a free port
    #[arg(long, env = "PORTCULLIS_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:8443")]
    pub listen: SocketAddr,

    /// Address of probes and metrics, without TLS; port 0 selects a free port
    #[arg(long, env = "PORTCULLIS_ADMIN", value_name = "ADDR", default_value = "127.0.0.1:9090")]
    pub admin: SocketAddr,

    /// PEM file with the server certificate and its chain, reloaded on change. Without it, a development
    /// certificate is generated if --listen is a loopback address
    #[arg(long, env = "PORTCULLIS_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// PEM file with the private key of --tls-cert, reloaded on change
    #[arg(long, env = "PORTCULLIS_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// PEM file with the CAs that sign client certificates, reloaded on change. Without it, every client that
    /// reaches the port can call the webhook
    #[arg(long, env = "PORTCULLIS_CLIENT_CA", value_name = "FILE")]
    pub client_ca: Option<PathBuf>,

    /// Whether a client without a certificate is rejected, or served and marked as unverified
    #[arg(
        long,
        env = "PORTCULLIS_CLIENT_AUTH",
        value_name = "MODE",
        default_value = "required",
        requires = "client_ca"
    )]
    pub client_auth: ClientAuth,

    // kube-apiserver accepts requests up to 3 MiB; a review has the object twice with managedFields, as JSON even if the
    // client sent protobuf.
    /// Maximum size of a body; a larger one is answered with 413
    #[arg(long, env = "PORTCULLIS_MAX_BODY", value_name = "SIZE", default_value = "16MiB")]
    pub max_body: ByteSize,

    // An idle TLS connection uses about 25 KiB: 10,000 use 250 MiB. Three API servers need some hundreds.
    /// Maximum number of connections; further ones are closed
    #[arg(long, env = "PORTCULLIS_MAX_CONNECTIONS", value_name = "N", default_value = "10000")]
    pub max_connections: NonZeroUsize,

    // A fifth of the total, so that one address cannot exclude the others.
    /// Maximum number of connections from one address (one /64 of IPv6)
    #[arg(long, env = "PORTCULLIS_MAX_CONNECTIONS_PER_ADDRESS", value_name = "N", default_value = "2000")]
    pub max_connections_per_address: NonZeroUsize,

    // A review takes about 50 us of CPU: on two cores the last of 1,024 waits 26 ms; the API server waits 2 s.
    /// Maximum number of requests in flight, whose bodies are complete; further ones are answered with 503
    #[arg(long, env = "PORTCULLIS_MAX_INFLIGHT", value_name = "N", default_value = "1024")]
    pub max_inflight: NonZeroUsize,

    // One API server has 200 writes in flight by default; half of the total leaves capacity for a second address.
    /// Maximum number of requests in flight from one address
    #[arg(long, env = "PORTCULLIS_MAX_INFLIGHT_PER_ADDRESS", value_name = "N", default_value = "512")]
    pub max_inflight_per_address: NonZeroUsize,

    // kube-proxy and the endpoint caches of API servers follow a readiness change within a few seconds.
    /// Time after SIGTERM in which the gate still accepts requests but fails readiness, so that load balancers stop
    /// sending traffic
    #[arg(long, env = "PORTCULLIS_DRAIN_DELAY", value_name = "TIME", default_value = "10s")]
    pub drain_delay: Span,

    // Longer than the webhook timeout of 3 s; 10 s + 15 s are below the kubelet's default of 30 s.
    /// Time for requests in flight to finish after --drain-delay
    #[arg(long, env = "PORTCULLIS_DRAIN_GRACE", value_name = "TIME", default_value = "15s")]
    pub drain_grace: Span,

    #[arg(skip)]
    pub timeouts: Timeouts,
}

/// Whether a client certificate is required.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ClientAuth {
    /// Reject a client without a certificate in the TLS handshake
    Required,
    /// Serve a client without a certificate, and mark it as unverified
    Optional,
}

/// Timeouts that are not flags; tests shorten them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For the TLS handshake.
    pub handshake: Duration,
    /// From the first byte of a request to the end of its head. Checked periodically, so it may be 50% longer.
    pub head: Duration,
    /// Between two pieces of a body.
    pub body_stall: Duration,
    /// After which an unfinished body counts as slow; the number of slow bodies of an address is limited.
    pub body_slow: Duration,
    /// For a whole body.
    pub body_whole: Duration,
    /// For a client to read a response that does not fit the socket or the HTTP/2 window. Checked like `head`.
    pub response: Duration,
    /// Without a request on a connection.
    pub idle: Duration,
    /// How often certificate files are read without a file event.
    pub reload_poll: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            // The default of Go clients.
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(10),
            // TCP has retransmitted two lost packets in a row.
            body_stall: Duration::from_secs(2),
            // One lost packet. In a cluster network 16 MiB take 20 ms.
            body_slow: Duration::from_secs(1),
            // The webhook timeout of an API server is 3 s.
            body_whole: Duration::from_secs(5),
            // A page of the API, 1 MiB, at 70 KB per second; responses to reviews fit the socket buffer.
            response: Duration::from_secs(15),
            // Longer than the 90 s of Go's transport, which does not retry a POST on a connection that is closed meanwhile.
            idle: Duration::from_mins(2),
            // For file systems without events, such as NFS.
            reload_poll: Duration::from_mins(1),
        }
    }
}

impl ServerArgs {
    pub fn drain_timing(&self) -> drain::Timing {
        drain::Timing { delay: self.drain_delay.0, grace: self.drain_grace.0 }
    }
}

/// A duration: `500ms`, `10s`, `2m`, `1h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Duration);

/// A number of bytes: `512B`, `64KiB`, `16MiB`, `1GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteSize(pub usize);

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    #[error("`{0}` is not a duration; use a whole number and ms, s, m or h, such as `10s`")]
    Span(String),
    #[error("`{0}` is not a size; use a whole number and B, KiB, MiB or GiB, such as `16MiB`")]
    Size(String),
}

impl FromStr for Span {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let millis = parse_scaled(text, &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)]);
        millis.map(|n| Self(Duration::from_millis(n))).ok_or_else(|| UnitError::Span(text.to_owned()))
    }
}

impl FromStr for ByteSize {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let bytes = parse_scaled(text, &[("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("B", 1)]);
        bytes.and_then(|n| usize::try_from(n).ok()).map(Self).ok_or_else(|| UnitError::Size(text.to_owned()))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        match millis {
            0 => f.write_str("0s"),
            n if n % 3_600_000 == 0 => write!(f, "{}h", n / 3_600_000),
            n if n % 60_000 == 0 => write!(f, "{}m", n / 60_000),
            n if n % 1_000 == 0 => write!(f, "{}s", n / 1_000),
            n => write!(f, "{n}ms"),
        }
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("0B"),
            n if n % (1 << 30) == 0 => write!(f, "{}GiB", n >> 30),
            n if n % (1 << 20) == 0 => write!(f, "{}MiB", n >> 20),
            n if n % (1 << 10) == 0 => write!(f, "{}KiB", n >> 10),
            n => write!(f, "{n}B"),
        }
    }
}

/// The first matching suffix is used, so `ms` precedes `s`.
fn parse_scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (digits, scale) =
        units.iter().find_map(|(unit, scale)| text.strip_suffix(unit).map(|digits| (digits, *scale)))?;
    // `u64::from_str` accepts a sign.
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse::<u64>().ok())??.checked_mul(scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn displayed_value_parses_back() {
        for text in ["0s", "500ms", "10s", "2m", "1h", "90s"] {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.to_string().parse::<Span>(), Ok(span), "{text}");
        }
        for (text, bytes) in [("512B", 512), ("64KiB", 65_536), ("16MiB", 16_777_216), ("1GiB", 1 << 30)] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)));
            assert_eq!(ByteSize(bytes).to_string(), text);
        }
    }

    #[test]
    fn number_without_a_unit_is_rejected() {
        for text in ["", "10", "s", "-1s", "+1s", "1.5s", "10 s", "10S", "18446744073709551615h"] {
            assert_eq!(text.parse::<Span>(), Err(UnitError::Span(text.to_owned())));
        }
        for text in ["", "16", "16MB", "16Mi", "MiB", "99999999999GiB"] {
            assert_eq!(text.parse::<ByteSize>(), Err(UnitError::Size(text.to_owned())));
        }
    }
}
