//! Certificates change while connections go on; callers show theirs, or do not get in.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use portcullis_certs::develop::{CertificateAuthority, Issued, Use};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use super::harness::*;

const PEER: &str = "GET /peer HTTP/1.1\r\nhost: g\r\n\r\n";

/// What the gate shows to a new caller.
async fn shown(gate: &Gate) -> Vec<u8> {
    let stream = gate.connect().await;
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

/// The gate shows something else than this.
async fn changed(gate: &Gate, before: &[u8]) {
    eventually(async || shown(gate).await != before).await;
}

fn put(leaf: &Issued, dir: &Path) {
    leaf.write(&dir.join("tls.crt"), &dir.join("tls.key")).unwrap();
}

#[tokio::test]
async fn a_renamed_pair_is_served_and_connections_go_on() {
    let gate = Gate::start(&[]).await;
    let mut kept = gate.connect().await;
    assert_eq!(ask(&mut kept, PEER).await.status, 200);
    for _ in 0..2 {
        let before = shown(&gate).await;
        put(&server_leaf(&gate.authority), gate.dir.path());
        changed(&gate, &before).await;
        assert_eq!(ask(&mut kept, PEER).await.status, 200);
    }
}

#[tokio::test]
async fn a_volume_that_swaps_its_symlink_is_followed() {
    let volume = tempfile::tempdir().unwrap();
    let lay = |version: &str, leaf: &Issued| {
        put(leaf, &volume.path().join(version));
        symlink(version, volume.path().join("..data_tmp")).unwrap();
        fs::rename(volume.path().join("..data_tmp"), volume.path().join("..data")).unwrap();
    };
    let gate = Gate::start_with(&[], |args, authority| {
        lay("..1", &server_leaf(authority));
        for name in ["tls.crt", "tls.key"] {
            symlink(Path::new("..data").join(name), volume.path().join(name)).unwrap();
        }
        args.tls_cert = Some(volume.path().join("tls.crt"));
        args.tls_key = Some(volume.path().join("tls.key"));
    })
    .await;
    let mut kept = gate.connect().await;
    for version in ["..2", "..3"] {
        let before = shown(&gate).await;
        lay(version, &server_leaf(&gate.authority));
        changed(&gate, &before).await;
        assert_eq!(ask(&mut kept, PEER).await.status, 200);
    }
}

#[tokio::test]
async fn a_bad_pair_leaves_the_old_one_in_place_and_shows_in_readiness() {
    let gate = Gate::start(&[]).await;
    let before = shown(&gate).await;
    fs::write(gate.file("tls.key"), "nonsense").unwrap();
    eventually(async || gate.admin("/readyz").await.body.contains("holds no private key")).await;
    assert_eq!(gate.admin("/readyz").await.status, 200, "what is served is still good");
    assert_eq!(shown(&gate).await, before);
    server_leaf(&gate.authority).write(&gate.file("tls.crt"), &gate.file("other.key")).unwrap();
    fs::write(gate.file("tls.key"), server_leaf(&gate.authority).key_pem()).unwrap();
    eventually(async || gate.admin("/readyz").await.body.contains("does not belong")).await;
    assert_eq!(shown(&gate).await, before);
    put(&server_leaf(&gate.authority), gate.dir.path());
    changed(&gate, &before).await;
    let good = r#"{"name":"certificate","ready":true}"#;
    eventually(async || gate.admin("/readyz").await.body.contains(good)).await;
}

#[tokio::test]
async fn readiness_says_how_callers_are_verified() {
    let open = "every client that reaches the webhook port can call it";
    for (gate, said) in [
        (Gate::start(&[]).await, format!(r#""ready":true,"reason":"--client-ca is not set: {open}""#)),
        (
            with_client_ca(&["--client-auth", "optional"]).await,
            format!(r#""ready":true,"reason":"--client-auth is optional: {open}""#),
        ),
        (with_client_ca(&[]).await, r#""ready":true}"#.to_owned()),
    ] {
        let answer = gate.admin("/readyz").await;
        assert_eq!(answer.status, 200, "it is no failure");
        assert!(answer.body.contains(&format!(r#"{{"name":"callers",{said}"#)), "{}", answer.body);
    }
}

/// A directory that is itself swapped is seen by no watch on it.
async fn behind_a_link(poll: Duration, nudge: impl Fn()) {
    let outer = tempfile::tempdir().unwrap();
    let gate = Gate::start_with(&[], |args, authority| {
        put(&server_leaf(authority), &outer.path().join("one"));
        symlink("one", outer.path().join("now")).unwrap();
        args.tls_cert = Some(outer.path().join("now/tls.crt"));
        args.tls_key = Some(outer.path().join("now/tls.key"));
        args.timeouts.reload_poll = poll;
    })
    .await;
    let before = shown(&gate).await;
    put(&server_leaf(&gate.authority), &outer.path().join("two"));
    symlink("two", outer.path().join("next")).unwrap();
    fs::rename(outer.path().join("next"), outer.path().join("now")).unwrap();
    eventually(async || {
        nudge();
        shown(&gate).await != before
    })
    .await;
}

#[tokio::test]
async fn sighup_reloads_what_no_watch_has_seen() {
    let me = std::process::id().to_string();
    let hangup =
        || assert!(std::process::Command::new("kill").args(["-HUP", &me]).status().unwrap().success());
    behind_a_link(Duration::from_hours(1), hangup).await;
}

#[tokio::test]
async fn the_poll_finds_what_no_watch_has_seen() {
    behind_a_link(Duration::from_millis(50), || {}).await;
}

#[tokio::test]
async fn a_caller_without_a_certificate_does_not_get_in_where_one_is_required() {
    let gate = with_client_ca(&[]).await;
    let stranger = CertificateAuthority::new("stranger").unwrap();
    let forged = stranger.issue(&["caller".into()], Use::Client).unwrap();
    let server = server_leaf(&gate.authority);
    for certificate in [None, Some(&forged), Some(&server)] {
        let stream = TcpStream::connect(gate.webhook).await.unwrap();
        // In TLS 1.3 the client is done before the server has looked: the refusal comes with the first read.
        if let Ok(mut stream) = handshake(stream, gate.client(certificate)).await {
            let error = stream.read(&mut [0; 100]).await.unwrap_err().to_string();
            assert!(error.contains("alert"), "{error}");
        }
    }
    let known = gate.authority.issue(&["caller".into()], Use::Client).unwrap();
    let mut stream = gate.connect_from("127.0.0.1", gate.client(Some(&known))).await;
    assert_eq!(ask(&mut stream, PEER).await.body, "127.0.0.1 true");
}

#[tokio::test]
async fn a_caller_without_a_certificate_is_marked_where_one_is_optional() {
    let gate = with_client_ca(&["--client-auth", "optional"]).await;
    let mut stream = gate.connect().await;
    assert_eq!(ask(&mut stream, PEER).await.body, "127.0.0.1 false");
    let known = gate.authority.issue(&["caller".into()], Use::Client).unwrap();
    let mut stream = gate.connect_from("127.0.0.1", gate.client(Some(&known))).await;
    assert_eq!(ask(&mut stream, PEER).await.body, "127.0.0.1 true");
    let forged =
        CertificateAuthority::new("stranger").unwrap().issue(&["caller".into()], Use::Client).unwrap();
    let stream = TcpStream::connect(gate.webhook).await.unwrap();
    if let Ok(mut stream) = handshake(stream, gate.client(Some(&forged))).await {
        assert!(stream.read(&mut [0; 100]).await.is_err(), "a bad certificate is worse than none");
    }
}

#[tokio::test]
async fn authorities_of_callers_are_swapped_too() {
    let gate = with_client_ca(&[]).await;
    let next = CertificateAuthority::new("next").unwrap();
    let caller = next.issue(&["caller".into()], Use::Client).unwrap();
    next.write(&gate.file("callers.crt"), &gate.file("callers.key")).unwrap();
    eventually(async || {
        let stream = TcpStream::connect(gate.webhook).await.unwrap();
        let Ok(mut stream) = handshake(stream, gate.client(Some(&caller))).await else { return false };
        tokio::io::AsyncWriteExt::write_all(&mut stream, PEER.as_bytes()).await.is_ok()
            && answer(&mut stream).await.is_some_and(|answer| answer.body == "127.0.0.1 true")
    })
    .await;
}

async fn with_client_ca(flags: &[&str]) -> Gate {
    let flags = [&["--client-ca", "/to/be/replaced"], flags].concat();
    Gate::start_with(&flags, |args, authority| {
        let dir = args.tls_cert.as_ref().unwrap().parent().unwrap().to_owned();
        authority.write(&dir.join("callers.crt"), &dir.join("callers.key")).unwrap();
        args.client_ca = Some(dir.join("callers.crt"));
    })
    .await
}
