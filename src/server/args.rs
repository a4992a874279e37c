//! The flags of this room, as types, and the times that are no flags.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::units::{ByteSize, Span};
use portcullis_lifecycle::drain;

/// How the gate listens.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Server")]
pub struct ServerArgs {
    /// Where reviews arrive over TLS; port 0 takes a free one
    #[arg(long, env = "PORTCULLIS_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:8443")]
    pub listen: SocketAddr,

    /// Where probes and metrics are asked for, without TLS; port 0 takes a free one
    #[arg(long, env = "PORTCULLIS_ADMIN", value_name = "ADDR", default_value = "127.0.0.1:9090")]
    pub admin: SocketAddr,

    /// PEM certificate to serve, the leaf first; read again when it changes. Without it a certificate for
    /// development is made, where --listen is a loopback address
    #[arg(long, env = "PORTCULLIS_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// PEM key of --tls-cert; read again when it changes
    #[arg(long, env = "PORTCULLIS_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// PEM authorities that callers' certificates must come from; read again when it changes. Without it whoever
    /// reaches the port may call
    #[arg(long, env = "PORTCULLIS_CLIENT_CA", value_name = "FILE")]
    pub client_ca: Option<PathBuf>,

    /// Whether a caller without a certificate is refused, or served and marked as unverified
    #[arg(
        long,
        env = "PORTCULLIS_CLIENT_AUTH",
        value_name = "HOW",
        default_value = "required",
        requires = "client_ca"
    )]
    pub client_auth: ClientAuth,

    // kube-apiserver takes at most 3 MiB of a request; a review carries the object twice with managedFields, as
    // JSON even where the client sent protobuf: plan for 8 MiB, stop at 16.
    /// The longest body; a longer one is answered 413
    #[arg(long, env = "PORTCULLIS_MAX_BODY", value_name = "SIZE", default_value = "16MiB")]
    pub max_body: ByteSize,

    // An idle TLS connection costs about 25 KiB here: 10,000 are 250 MiB, and three API servers need some hundreds.
    /// The most connections at once; one more is closed at once
    #[arg(long, env = "PORTCULLIS_MAX_CONNECTIONS", value_name = "N", default_value = "10000")]
    pub max_connections: NonZeroUsize,

    // A fifth of the whole: one address cannot shut the others out.
    /// The most connections of one address (of one /64 of IPv6)
    #[arg(long, env = "PORTCULLIS_MAX_CONNECTIONS_PER_ADDRESS", value_name = "N", default_value = "2000")]
    pub max_connections_per_address: NonZeroUsize,

    // A review takes some 50 us of CPU: on two cores the last of 1,024 waits 26 ms, far inside the 2 s that an API
    // server gives us.
    /// The most requests in flight, which are those whose bodies are here; one more is answered 503
    #[arg(long, env = "PORTCULLIS_MAX_INFLIGHT", value_name = "N", default_value = "1024")]
    pub max_inflight: NonZeroUsize,

    // One API server lets 200 writes through at once by default, each of them here once at a time; half of the
    // whole leaves room for a second address whatever the first does.
    /// The most requests in flight of one address
    #[arg(long, env = "PORTCULLIS_MAX_INFLIGHT_PER_ADDRESS", value_name = "N", default_value = "512")]
    pub max_inflight_per_address: NonZeroUsize,

    // kube-proxy and the API servers' endpoint caches follow a readiness change within a few seconds.
    /// How long the gate goes on accepting after SIGTERM, unready, so that balancers look away
    #[arg(long, env = "PORTCULLIS_DRAIN_DELAY", value_name = "TIME", default_value = "10s")]
    pub drain_delay: Span,

    // Longer than the longest call an API server makes of us (3 s, design 5.4), with room for a large body; 10 s + 15 s
    // stay under the 30 s that the kubelet gives by default.
    /// How long requests in flight may take after that
    #[arg(long, env = "PORTCULLIS_DRAIN_GRACE", value_name = "TIME", default_value = "15s")]
    pub drain_grace: Span,

    /// The times that are no flags.
    #[arg(skip)]
    pub timeouts: Timeouts,
}

/// What a client certificate is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ClientAuth {
    /// Refused without one, before a byte of HTTP is read
    Required,
    /// Served without one, and marked as unverified
    Optional,
}

/// How long a caller may take. Not flags: nobody tunes these, and tests shorten them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// From the accepted connection to the end of the TLS handshake.
    pub handshake: Duration,
    /// From the first byte of a request to the end of its head. Judged on a tick, so up to half as long again.
    pub head: Duration,
    /// Between two pieces of a body.
    pub body_stall: Duration,
    /// From when on a body that is not here counts as slow, of which an address has few.
    pub body_slow: Duration,
    /// For a whole body.
    pub body_whole: Duration,
    /// For a caller to read an answer that the socket, or a window of HTTP/2, does not take at once. Judged on a tick, as
    /// `head` is.
    pub answer: Duration,
    /// Without a request on a connection.
    pub idle: Duration,
    /// How often certificate files are looked at although nobody told of a change.
    pub reload_poll: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            // Go gives up on its side after 10 s too.
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(10),
            // Two lost packets in a row, and TCP has sent both again.
            body_stall: Duration::from_secs(2),
            // One lost packet. Within the network of a cluster 16 MiB take 20 ms.
            body_slow: Duration::from_secs(1),
            // An API server waits three seconds for the answer at most, as the gate is registered.
            body_whole: Duration::from_secs(5),
            // A page of the API, 1 MiB at most, at 70 KB a second; reviews are answered within the socket's buffer.
            answer: Duration::from_secs(15),
            // Go's transport drops an idle connection after 90 s, and does not replay a POST on one that we close
            // at the same moment: ours must be the longer one.
            idle: Duration::from_mins(2),
            // For file systems that tell of nothing (NFS); everywhere else the watch is there long before.
            reload_poll: Duration::from_mins(1),
        }
    }
}

impl ServerArgs {
    /// What [`drain::Conductor`] needs.
    pub fn drain_timing(&self) -> drain::Timing {
        drain::Timing { delay: self.drain_delay.0, grace: self.drain_grace.0 }
    }
}
