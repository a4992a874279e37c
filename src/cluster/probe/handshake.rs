//! One handshake with our own listener, as a caller with this bundle who knows us by this name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use portcullis_certs::managed::roots;

/// Our own listener on our own machine: whoever takes longer has other worries.
const PATIENCE: Duration = Duration::from_secs(3);

/// What came of it.
pub(super) enum Verdict {
    Trusted,
    Untrusted(String),
    /// Nothing can be said: there was no handshake.
    Unknown(String),
}

pub(super) async fn shake(listener: SocketAddr, bundle: &str, host: &str) -> Verdict {
    if bundle.trim().is_empty() {
        let why = "it holds no caBundle, so that kube-apiserver asks its own machine whom to trust";
        return Verdict::Untrusted(why.to_owned());
    }
    let config = match client(bundle) {
        Ok(config) => config,
        Err(why) => return Verdict::Untrusted(format!("its caBundle is no good: {why}")),
    };
    let Ok(name) = ServerName::try_from(host.to_owned()) else {
        return Verdict::Untrusted("that is neither a DNS name nor an address".to_owned());
    };
    let shaken = timeout(PATIENCE, async {
        let stream = TcpStream::connect(here(listener)).await?;
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        // Said politely. Where callers must show a certificate the server says no at this point, and we have seen enough.
        let _ = stream.shutdown().await;
        Ok::<(), std::io::Error>(())
    });
    match shaken.await {
        Ok(Ok(())) => Verdict::Trusted,
        Ok(Err(error)) => match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidCertificate(why)) => Verdict::Untrusted(why.to_string()),
            _ => Verdict::Unknown(error.to_string()),
        },
        Err(_) => Verdict::Unknown(format!("no handshake within {PATIENCE:?}")),
    }
}

fn client(bundle: &str) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots(bundle, Timestamp::now())?)
        .with_no_client_auth();
    // What kube-apiserver speaks.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// A listener on every address is asked on loopback.
fn here(listener: SocketAddr) -> SocketAddr {
    let ip = match listener.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listener.port())
}
