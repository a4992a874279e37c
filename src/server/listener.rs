//! The accept loop: bounded, never stopped by one connection, and drained in order.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Request;
use axum::response::Response;
use bytes::Bytes;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tower::Service;

use super::connection::{self, House, Peer};
use super::handshake::{self, Greeting};
use super::limits::{Caller, Callers};
use super::tls::Acceptor;
use portcullis_telemetry::metrics;

/// After an accept that failed for want of files or memory: at once again would be a busy loop, and other
/// connections have to end first.
const BREATHER: Duration = Duration::from_millis(50);

/// What stands between the socket and HTTP.
#[derive(Clone)]
pub(super) enum Door {
    /// The webhook.
    Tls(Acceptor),
    /// Probes and metrics.
    Plain,
}

/// How the end of a listener went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were still busy when the grace period was over, and were cut.
    pub cut: usize,
}

/// Serves until the drain of the house stops it, and what is in flight has finished or its time is over.
pub(super) async fn serve<S>(
    listener: TcpListener,
    door: Door,
    house: Arc<House>,
    mut callers: Callers,
    service: S,
) -> Drained
where
    S: Service<Request<Bytes>, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let stopping = house.drain.stopping();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = stopping.cancelled() => break,
            Some(ended) = connections.join_next() => {
                report(ended);
                callers.sweep(connections.len());
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => match callers.connect(connections.len(), address.ip()) {
                    Ok(caller) => {
                        let work = welcome(door.clone(), house.clone(), caller, stream, address, service.clone());
                        connections.spawn(work);
                    }
                    // Closed at once rather than left in the backlog: the caller learns of it now and may
                    // try another replica.
                    Err(shed) => metrics::shed(shed.reason()),
                },
                Err(error) => pause(&error).await,
            },
        }
    }
    drop(listener);
    let finish = async { while connections.join_next().await.map(report).is_some() {} };
    let late = tokio::time::timeout(house.drain.grace(), finish).await.is_err();
    let cut = if late { connections.len() } else { 0 };
    connections.shutdown().await;
    Drained { cut }
}

/// From a socket to the end of the connection.
async fn welcome<S>(
    door: Door,
    house: Arc<House>,
    caller: Arc<Caller>,
    stream: TcpStream,
    address: SocketAddr,
    service: S,
) where
    S: Service<Request<Bytes>, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    // Without it a small answer waits for the acknowledgement of the one before: 40 ms on a kept-alive connection.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    match door {
        Door::Plain => {
            let peer = Peer { address, verified: false };
            connection::serve(house, caller, stream, peer, false, service).await;
        }
        Door::Tls(acceptor) => {
            let greeting = handshake::greet(&acceptor, stream, house.timeouts.handshake).await;
            if let Some(Greeting { stream, http2, verified }) = greeting {
                let peer = Peer { address, verified };
                connection::serve(house, caller, stream, peer, http2, service).await;
            }
        }
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection panicked");
    }
}

/// Some errors belong to the connection that was not accepted, and the next may be good.
async fn pause(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    if !matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted) {
        tracing::error!(%error, "cannot accept connections");
        tokio::time::sleep(BREATHER).await;
    }
}
