//! What every webhook pays: axum over rustls, the body read, the uid found, an answer that says yes.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::post;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

/// Starts this binary as the handler; the directory of `tls.pem` and `key.pem` follows.
pub const ARGUMENT: &str = "--serve-nothing";

#[derive(Deserialize)]
struct Review<'a> {
    #[serde(borrow)]
    request: Request<'a>,
}

#[derive(Deserialize)]
struct Request<'a> {
    uid: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    api_version: &'static str,
    kind: &'static str,
    response: Said<'a>,
}

#[derive(Serialize)]
struct Said<'a> {
    uid: &'a str,
    allowed: bool,
}

async fn answer(body: Bytes) -> impl IntoResponse {
    let review: Review<'_> = serde_json::from_slice(&body).unwrap();
    let response = Said { uid: review.request.uid, allowed: true };
    let answer = Answer { api_version: "admission.k8s.io/v1", kind: "AdmissionReview", response };
    ([(CONTENT_TYPE, "application/json")], serde_json::to_vec(&answer).unwrap())
}

/// Serves until it is killed; writes `ready.json` as the gate does.
pub async fn serve() {
    let dir = PathBuf::from(std::env::args().skip_while(|arg| arg != ARGUMENT).nth(1).unwrap());
    let chain = vec![CertificateDer::from_pem_file(dir.join("tls.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(dir.join("key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(chain, key).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let router = Router::new().route("/validate", post(answer)).route("/mutate", post(answer));
    let address = listener.local_addr().unwrap();
    let mut file = std::fs::File::create(dir.join("ready.part")).unwrap();
    write!(file, r#"{{"webhook":"{address}","admin":"{address}"}}"#).unwrap();
    std::fs::rename(dir.join("ready.part"), dir.join("ready.json")).unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (acceptor, router) = (acceptor.clone(), router.clone());
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            let _ = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).await;
        });
    }
}
